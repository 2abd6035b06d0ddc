"""Settings come from the environment and from flags, and a list may be written in two ways."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from pydantic import ValidationError

from genlab.settings import PROJECT, Settings


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


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("PORT", "99999", "GENLAB_PORT is '99999': input should be less than or equal to 65535."),
        ("MAX_ROWS", "many", "GENLAB_MAX_ROWS is 'many': input should be a valid integer"),
    ],
)
def test_the_app_names_a_wrong_setting_in_one_sentence(name: str, value: str, sentence: str):
    environment = os.environ | {f"GENLAB_{name}": value}
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=PROJECT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.strip().startswith(sentence)
    assert "\n" not in done.stderr.strip()
