"""Mode Steps: the same noise in one to a hundred steps, by two models beside each other.

A row of pictures for each number of steps, and a column of rows for each model. No tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from genlab.formats.metadata import ModelMetadata
from genlab.models.registry import Registry
from genlab.ui.cells import Cell
from genlab.ui.components.panel import PRIVATE, buttons, chooser, heading, titles
from genlab.ui.components.run_button import fill_on_press
from genlab.ui.context import AppContext
from genlab.ui.tabs.guidance.inputs import METHODS, GuidanceInputs, preview_every
from genlab.ui.tabs.guidance.rows import NARROW, WIDE, empty_row, rows_of

STEPS = (1, 2, 5, 10, 25, 50, 100)
SLOT = "guidance-ladder"
OWN_RULE = {"scheduler": "ddim", "eta": 0.0}  # what every pixel diffusion and flow can draw by
INTRO = (
    "The same noise in 1 to 100 steps. **How many are enough?** All runs share their "
    "network calls, so a row's time holds some of its neighbours' work."
)
BESIDE = (
    "From the same noise, by DDIM. A flow was taught to go straight: fewer steps cut fewer corners."
)


def build(context: AppContext, controls: Sequence[gr.components.Component]) -> None:
    """Add the mode's content to the tab."""
    entries = context.registry.of_family("pixel_diffusion")
    first = context.registry.entry(str(controls[0].value))
    twin = twin_of(first, entries)
    gr.Markdown(INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["beside"]):
        with gr.Column(min_width=260):
            press = buttons(SLOT, "Draw all seven")
        method = chooser(
            f"{SLOT}-method", "Method", "The scheduler is that of the settings.",
            [(METHODS[name].title, name) for name in METHODS], "classifier-free",
        )  # fmt: skip
        others = [
            chooser(f"{SLOT}-beside", "Beside it", BESIDE, titles(entries), twin.name)
        ] if twin is not None else []  # fmt: skip
    looks = WIDE if twin is None else NARROW
    models = [(first, SLOT)] if twin is None else [(first, SLOT), (twin, f"{SLOT}-beside")]
    rungs = [f"{steps} step{'s' * (steps > 1)}" for steps in STEPS]
    places, heads = [], []
    with gr.Row(elem_classes=["panels"]):
        for model, name in models:
            with gr.Column(min_width=300, elem_classes=["panel"]):
                heads.append(gr.HTML(heading(model.title), elem_classes=["flush"]))
                places += [
                    empty_row(f"{name}-{steps}", rung, looks)
                    for steps, rung in zip(STEPS, rungs, strict=True)
                ]

    def cells(chosen: Any, *values: Any) -> list[Cell]:
        own, beside = values[: len(controls)], values[len(controls) :]
        inputs = GuidanceInputs.of(own)
        return cells_of(context.registry, str(chosen), inputs, *map(str, beside))

    draw = rows_of(rungs * len(models), ("seconds", "accuracy", "sharpness"), looks)
    inputs = [method, *controls, *others]
    fill_on_press(context, SLOT, press, inputs, places, cells, draw)
    choosers: list[Any] = [controls[0], *others]
    for head, chosen in zip(heads, choosers, strict=True):
        chosen.change(
            lambda name: heading(context.registry.entry(str(name)).title), chosen, head,
            queue=False, preprocess=False, **PRIVATE,
        )  # fmt: skip


def twin_of(first: ModelMetadata, entries: Sequence[ModelMetadata]) -> ModelMetadata | None:
    """What a model is best put beside: the flow of the same data, or another; None if alone."""
    others = [entry for entry in entries if entry.name != first.name]
    by_worth = sorted(
        others, key=lambda e: (e.dataset != first.dataset, not e.facts.get("flow"), e.name)
    )
    return by_worth[0] if by_worth else None


def cells_of(registry: Registry, method: str, inputs: GuidanceInputs, *beside: str) -> list[Cell]:
    """A cell for each number of steps; then as many of each checkpoint of ``beside``."""
    changes = [
        {"num_inference_steps": steps, "preview_every": preview_every(steps)} for steps in STEPS
    ]
    rows = [(inputs, change) for change in changes]
    for name in beside:
        rows += [(replace(inputs, checkpoint=name), change | OWN_RULE) for change in changes]
    return [Cell.of(lambda own=o, c=c: own.request(registry, method, **c)) for o, c in rows]
