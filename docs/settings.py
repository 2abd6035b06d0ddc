"""Writes the README's table of settings from the settings class, so that it never goes stale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from genlab.settings import PREFIX, PROJECT, Settings

BEGIN = "<!-- settings: written by docs/settings.py -->\n"
END = "<!-- /settings -->\n"


def default(value: Any) -> str:
    """A default as one writes it into the environment; "" for one that is empty."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, Path):
        value = value.relative_to(PROJECT) if value.is_relative_to(PROJECT) else value
    if isinstance(value, tuple):
        value = ",".join(value)
    if isinstance(value, bool):
        value = str(value).lower()
    if isinstance(value, float):
        value = f"{value:g}"
    return "" if value in (None, "") else f"`{value}`"


def row(name: str, field: FieldInfo) -> str:
    """One setting's line."""
    return f"| `{PREFIX}{name.upper()}` | {default(field.default)} | {field.description} |"


def table() -> str:
    """The table in Markdown, in the order of the class."""
    rows = [row(name, field) for name, field in Settings.model_fields.items()]
    return "\n".join(["| variable | default | |", "|---|---|---|", *rows]) + "\n"


def written(readme: str) -> str:
    """The README with the table of today."""
    before, rest = readme.split(BEGIN)
    return before + BEGIN + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    page = PROJECT / "README.md"
    page.write_text(written(page.read_text(encoding="utf-8")), encoding="utf-8")
