"""One more column of the Compare tab: a model of the visitor's own, or any that has no column."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from genlab.families.description import CompareColumn
from genlab.models.families import FAMILIES
from genlab.models.registry import Registry
from genlab.ui.components.panel import chooser, titles
from genlab.ui.model_choices import lists

FAMILIES_HERE = ("vae", "gan")
ORDER = 90  # it stands last
YOURS = CompareColumn("yours", ORDER, "Another model", "Yours beside ours.", "", None)
"""What stands in its place while none is chosen."""


def another_model(registry: Registry, shown: Sequence[CompareColumn]) -> gr.Dropdown:
    """The chooser of one more model; elem_id ``compare-another``."""
    taken = {column.checkpoint for column in shown}
    entries = [e for name in FAMILIES_HERE for e in registry.of_family(name) if e.name not in taken]
    dropdown = chooser(
        "compare-another", "Another model", "A column more: yours, or any VAE or GAN.",
        [("none", ""), *titles(entries)], "",
    )  # fmt: skip
    lists([dropdown], FAMILIES_HERE, lambda entry: entry.name not in taken)
    return dropdown


def column_of(registry: Registry, name: str) -> CompareColumn | None:
    """The column of a model that is chosen there; None if none is, or it has gone."""
    entry = registry.find(name) if name else None
    if entry is None:
        return None
    described = FAMILIES[entry.family].columns
    requests = described[0].requests if described else None
    told = "Only {}." if entry.facts.get("classes") else "Cannot be told a class."
    return CompareColumn(
        key=YOURS.key, order=ORDER, title=entry.title, look=_look(entry.family),
        checkpoint=name, requests=requests, with_class=told,
    )  # fmt: skip


def _look(family: str) -> str:
    return f"A {'VAE' if family == 'vae' else 'GAN'}: which of ours does it resemble?"
