# `make run` opens the lab, `make test` checks it; both install what they need into .venv.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PIP := $(BIN)/python -m pip install --disable-pip-version-check --no-input --progress-bar off
# cuda: PyPI's builds of torch, 6 GB, which run on a CPU too; cpu: PyTorch's own of the same version
TORCH ?= cuda
ifneq ($(filter-out cpu cuda,$(TORCH)),)
$(error TORCH is '$(TORCH)', but must be cpu or cuda)
endif
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
TORCH_PINS = $$(grep -E '^torch(vision)?==' requirements.txt)
CODE := app.py genlab tests benchmarks docs deploy

.PHONY: help install run test walks lint format types chromium proxies bench screenshots figures api settings

help: ## list these targets
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 22

install: $(VENV)/.run-ready ## install what GenLab needs into .venv; TORCH=cpu: without CUDA

run: $(VENV)/.run-ready ## install, then serve the lab on http://127.0.0.1:7860 (see README for settings)
	$(BIN)/python app.py

test: lint types chromium proxies ## lint, type check, then every test, the browser's included
	$(BIN)/python -m pytest

walks: $(VENV)/.dev-ready chromium ## the long walks through the page: guide, address, reloads, live training
	$(BIN)/python -m pytest -m walk

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

api: $(VENV)/.dev-ready ## write docs/api.md's tables from the families' descriptions
	$(BIN)/python -m docs.api

settings: $(VENV)/.dev-ready ## write the README's table of settings from genlab/settings.py
	$(BIN)/python -m docs.settings

proxies: | $(BIN)/python ## unpack Debian's nginx and caddy into .venv for the proxy tests, where that is possible
	@mkdir -p $(VENV)/proxies && cd $(VENV)/proxies && for p in nginx caddy; do \
	    if command -v $$p >/dev/null || [ -x usr/sbin/$$p ] || [ -x usr/bin/$$p ]; then continue; fi; \
	    { apt-get download -qq $$p && dpkg-deb -x $${p}_*.deb . && rm $${p}_*.deb; } 2>/dev/null || \
	    echo "No $$p here, and Debian's packages cannot be had: its proxy tests will be skipped."; \
	done

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
	$(if $(filter cpu,$(TORCH)),$(PIP) --index-url $(TORCH_INDEX) $(TORCH_PINS))
	$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.dev-ready: requirements.txt requirements-dev.txt | $(BIN)/python
	$(if $(filter cpu,$(TORCH)),$(PIP) --index-url $(TORCH_INDEX) $(TORCH_PINS))
	$(PIP) -r requirements-dev.txt
	@touch $@ $(VENV)/.run-ready
