"""Settings come from the environment and from flags, and a list may be written in two ways."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from genlab.settings import Settings


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
