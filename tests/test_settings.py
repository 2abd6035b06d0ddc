"""Settings come from the environment and from flags, and a list may be written in two ways."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from pydantic import ValidationError

from genlab.settings import PROJECT, Settings, unknown_settings, wrong_setting


@pytest.mark.parametrize(
    ("written", "models"),
    [
        ("", ()),
        ("org/name", ("org/name",)),
        ("org/name, /a/folder,model.safetensors,", ("org/name", "/a/folder", "model.safetensors")),
        ('["org/name", "/a, b"]', ("org/name", "/a, b")),
    ],
)
def test_models_are_named_with_commas_between_or_as_a_json_list(monkeypatch, written, models):
    monkeypatch.setenv("GENLAB_MODELS", written)
    assert Settings().models == models


def test_models_can_be_named_by_the_flag(monkeypatch):
    import app

    monkeypatch.setattr("sys.argv", ["app.py", "--models", "org/one,org/two"])
    assert app.Flags().models == ("org/one", "org/two")


def test_a_list_that_is_no_json_is_refused(monkeypatch):
    monkeypatch.setenv("GENLAB_MODELS", '["org/name"')
    with pytest.raises(ValidationError):
        Settings()


WRONG = {
    "CHECKPOINTS": ("/no/where", "is '/no/where': must be a folder, or a new one inside"),
    "MODELS": ('["a"', """is '["a"': must be names with commas between, or a JSON list of them."""),
    "DOWNLOADS": ("perhaps", "is 'perhaps': input should be a valid boolean"),
    "DEVICE": ("quantum", "is 'quantum': must be auto, cpu, cuda, cuda:1 (or another number), mps"),
    "MEMORY_GB": ("0", "is '0': input should be greater than 0."),
    "MAX_ROWS": ("many", "is 'many': input should be a valid integer"),
    "MAX_JOBS": ("-1", "is '-1': input should be greater than or equal to 1."),
    "PORT": ("99999", "is '99999': input should be less than or equal to 65535."),
    "ROOT_PATH": ("genlab/", "is 'genlab/': must be empty, or a path such as /genlab, without"),
    "AUTH": ("ada", "is not shown here: must be name:password, with commas between."),
    "ORIGINS": ("lms", "is 'lms': must be sites such as https://lms.example.org, with commas"),
    "FRAMES": ("lms.org/a", "is 'lms.org/a': must be sites such as https://lms.example.org, with"),
    "LOG": ("loud", "is 'loud': input should be 'text' or 'json'."),
    "REPLICA_CPUS": ("none", "is 'none': input should be a valid number"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_one_sentence_that_names_its_variable(monkeypatch, name: str):
    value, sentence = WRONG[name]
    monkeypatch.setenv(f"GENLAB_{name}", value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    said = wrong_setting(caught.value)
    assert said.startswith(f"GENLAB_{name} {sentence}")
    assert said.endswith(".")
    assert "\n" not in said


def test_the_app_says_it_and_nothing_else():
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=PROJECT, env=os.environ | {"GENLAB_PORT": "99999"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "GENLAB_PORT is '99999': input should be less than or equal to 65535.\n"


def test_passwords_are_not_told_to_whoever_reads_the_log(monkeypatch):
    monkeypatch.setenv("GENLAB_AUTH", "ada:swordfish")
    monkeypatch.setenv("GENLAB_TEACHER_KEY", "open sesame")
    assert "swordfish" not in repr(Settings())
    assert "sesame" not in repr(Settings())
    monkeypatch.setenv("GENLAB_AUTH", "swordfish")
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert "swordfish" not in wrong_setting(caught.value)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_variable_that_is_empty_is_one_that_is_not_set(monkeypatch, name: str):
    monkeypatch.setenv(f"GENLAB_{name.upper()}", "")
    assert getattr(Settings(), name) == Settings.model_fields[name].default


def test_a_variable_that_is_no_setting_is_told_with_what_may_be_meant(monkeypatch):
    monkeypatch.setenv("GENLAB_MAXROWS", "5")
    monkeypatch.setenv("GENLAB_SITE", "lab.example.org")  # Caddy's
    assert unknown_settings() == [
        "GENLAB_MAXROWS is no setting of GenLab; perhaps GENLAB_MAX_ROWS is meant."
    ]
