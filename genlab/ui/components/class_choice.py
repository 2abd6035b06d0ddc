"""The class that a class-conditional model is told; no class is asked of the others. No tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from genlab.models.registry import Registry
from genlab.ui.components.panel import PRIVATE, chooser

IN_TURN = "all in turn"


def class_choice(registry: Registry, slot: str, choosers: Sequence[gr.Dropdown]) -> gr.Dropdown:
    """A chooser that is seen while one of the chosen models is told classes; elem_id
    ``<slot>-class``."""

    def most(names: Sequence[Any]) -> int:
        found = [registry.find(str(name)) for name in names if name]
        return max((int(e.facts.get("classes", 0)) for e in found if e is not None), default=0)

    def choices(classes: int) -> list[tuple[str, str]]:
        return [(IN_TURN, ""), *((str(k), str(k)) for k in range(classes))]

    begin = most([one.value for one in choosers])
    dropdown = chooser(
        f"{slot}-class", "Class", "Of models that are told one.", choices(max(begin, 10)), ""
    )
    dropdown.visible = begin > 0

    def follow(*names: Any) -> Any:
        classes = most(names)
        return gr.Dropdown(choices=choices(classes or 10), visible=classes > 0)

    gr.on(
        [one.change for one in choosers], follow, list(choosers), dropdown,
        queue=False, preprocess=False, **PRIVATE,
    )  # fmt: skip
    return dropdown


def label_for(registry: Registry, name: Any, label: Any) -> dict[str, Any]:
    """The field of a request that names the class, for a model that is told one; else {}."""
    if label in ("", None) or not registry.entry(str(name)).facts.get("classes"):
        return {}
    return {"label": label}
