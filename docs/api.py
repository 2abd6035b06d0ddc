"""Writes the tables of docs/api.md from the families' descriptions, so that they never go stale.

What a family describes as its endpoint has a section here; a new family gets one. Examples and the
endpoints that no family describes are written by hand. Needs no torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import get_origin

from annotated_types import MaxLen
from pydantic.fields import FieldInfo

from genlab.families.description import Endpoint, FamilyDescription
from genlab.models.families import FAMILIES
from genlab.requests import SampleRequest, allowed

PAGE = Path(__file__).resolve().parent / "api.md"
LAST = "## `/stop`\n"
"""New sections come before this one."""


def begin(name: str) -> str:
    """What stands before an endpoint's written lines."""
    return f"<!-- {name}: written by docs/api.py -->\n"


def end(name: str) -> str:
    """What stands after them."""
    return f"<!-- /{name} -->\n"


def table(endpoint: Endpoint, kind: type[SampleRequest]) -> str:
    """Summary and arguments of an endpoint."""
    rows = [f"{endpoint.summary}\n", "| argument | default | |", "|---|---|---|"]
    for name in endpoint.fields:
        field = kind.model_fields[name]
        parts = [field.description or "", values(field)]
        text = "; ".join(part for part in parts if part)
        rows.append(f"| `{name}` | {default(endpoint, kind, name)} | {text} |")
    return "\n".join(rows) + "\n"


def values(field: FieldInfo) -> str:
    """Which values an argument may have; "" where any text will do or its description says it."""
    words = allowed(field)
    longest = next((m.max_length for m in field.metadata if isinstance(m, MaxLen)), None)
    if words != "text":
        return words
    return f"at most {longest} characters" if longest else ""


def default(endpoint: Endpoint, kind: type[SampleRequest], name: str) -> str:
    """An argument's default as JSON has it; "" if it has to be given."""
    if name in endpoint.required:
        return ""
    if name == "checkpoint":
        return f"`{endpoint.checkpoint}`"
    field = kind.model_fields[name]
    if field.default is None or get_origin(field.annotation) is tuple:
        return "`null`"
    return (
        f"`{field.default or json.dumps('')}`"
        if isinstance(field.default, str)
        else (f"`{json.dumps(field.default)}`")
    )


def written(page: str, families: Iterable[FamilyDescription]) -> str:
    """The page with every described endpoint as it is described now."""
    for family in families:
        endpoint, kind = family.endpoint, family.sample_request
        if endpoint is None or kind is None:
            continue
        name = endpoint.name
        block = begin(name) + table(endpoint, kind) + end(name)
        if begin(name) not in page:
            assert LAST in page, f"{PAGE.name} has no section {LAST.strip()}"
            page = page.replace(LAST, f"## `/{name}`\n\n{block}\n{LAST}")
        pattern = re.escape(begin(name)) + ".*?" + re.escape(end(name))
        page = re.sub(pattern, lambda _, block=block: block, page, flags=re.S)
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), FAMILIES.values()), encoding="utf-8")
