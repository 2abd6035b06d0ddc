"""Mode Steps: the same noise in one to a hundred steps, a row of pictures each. No tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from genlab.ui.cells import Cell
from genlab.ui.components.panel import buttons, chooser
from genlab.ui.components.run_button import fill_on_press
from genlab.ui.context import AppContext
from genlab.ui.tabs.guidance.inputs import METHODS, GuidanceInputs, preview_every
from genlab.ui.tabs.guidance.rows import empty_row, rows_of

STEPS = (1, 2, 5, 10, 25, 50, 100)
SLOT = "guidance-ladder"
INTRO = (
    "The same noise in 1 to 100 steps. **How many are enough?** All seven runs share their "
    "network calls, so a row's time holds some of its neighbours' work."
)


def build(context: AppContext, controls: Sequence[gr.components.Component]) -> None:
    """Add the mode's content to the tab."""
    gr.Markdown(INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["beside"]):
        with gr.Column(min_width=260):
            press = buttons(SLOT, "Draw all seven")
        method = chooser(
            f"{SLOT}-method", "Method", "The scheduler is that of the settings.",
            [(METHODS[name].title, name) for name in METHODS], "classifier-free",
        )  # fmt: skip
    titles = [f"{steps} step{'s' * (steps > 1)}" for steps in STEPS]
    places = [
        empty_row(f"{SLOT}-{steps}", title) for steps, title in zip(STEPS, titles, strict=True)
    ]

    def cells(chosen: Any, *values: Any) -> list[Cell]:
        return cells_of(context, str(chosen), GuidanceInputs.of(values))

    draw = rows_of(titles, ("seconds", "accuracy", "sharpness"))
    fill_on_press(context, SLOT, press, [method, *controls], places, cells, draw)


def cells_of(context: AppContext, method: str, inputs: GuidanceInputs) -> list[Cell]:
    """A cell for each number of steps."""
    changes = [
        {"num_inference_steps": steps, "preview_every": preview_every(steps)} for steps in STEPS
    ]
    return [Cell.of(lambda c=c: inputs.request(context.registry, method, **c)) for c in changes]
