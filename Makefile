# `make run` opens the lab, `make test` checks it; both install what they need into .venv.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PIP := $(BIN)/python -m pip install --disable-pip-version-check --no-input --progress-bar off
CODE := app.py genlab tests benchmarks docs

.PHONY: help run test lint format types chromium bench screenshots figures

help: ## list these targets
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 22

run: $(VENV)/.run-ready ## install, then serve the lab on http://127.0.0.1:7860 (see README for settings)
	$(BIN)/python app.py

test: lint types chromium ## lint, type check, then every test, the browser's included
	$(BIN)/python -m pytest

lint: $(VENV)/.dev-ready ## ruff's rules and format, without changing anything
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

types: $(VENV)/.dev-ready ## pyright over genlab/ and app.py
	$(BIN)/pyright

format: $(VENV)/.dev-ready ## let ruff mend and format the code
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

bench: $(VENV)/.dev-ready ## speed against the stock pipeline, as ratios of one run
	$(BIN)/python -m benchmarks.serve_toybox
	$(BIN)/python -m benchmarks.pixel_digits
	$(BIN)/python -m benchmarks.toybox_grid

screenshots: $(VENV)/.dev-ready chromium ## start the app and take the pictures in docs/screenshots
	$(BIN)/python docs/screenshots.py

figures: $(VENV)/.dev-ready ## write the README's table of checkpoints from their cards
	$(BIN)/python docs/figures.py

chromium: ## install Debian's chromium for the browser tests, where that is possible
	@if command -v chromium chromium-browser google-chrome >/dev/null; then exit 0; \
	elif ! command -v apt-get >/dev/null; then \
	    echo "No Chromium here and no apt-get to install it: the browser tests will be skipped."; \
	elif [ "$$(id -u)" = 0 ]; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; \
	elif sudo -n true 2>/dev/null; then \
	    sudo -n apt-get update -qq && \
	    sudo -n apt-get install -y -qq --no-install-recommends chromium; \
	else \
	    echo "No Chromium here, and installing it needs root: the browser tests will be skipped."; \
	    echo "To run them: sudo apt-get install chromium"; \
	fi

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
	    echo "GenLab needs Python 3.11 or newer, and found none here: install it, or name it with" \
	         "'make PYTHON=/path/to/python3.12 ...'."; exit 1; fi
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	    echo "$(PYTHON) cannot make a virtual environment: on Debian, 'apt install python3-venv'."; \
	    exit 1; }

$(VENV)/.run-ready: requirements.txt | $(BIN)/python
	$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.dev-ready: requirements.txt requirements-dev.txt | $(BIN)/python
	$(PIP) -r requirements-dev.txt
	@touch $@ $(VENV)/.run-ready
