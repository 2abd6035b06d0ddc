"""Mode Side by side: the same noise drawn under each method. Knows no tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
import numpy as np

from genlab.evaluation.figures import SECONDS
from genlab.families.pixel_diffusion import FAMILY
from genlab.ui.cells import Cell, CellView
from genlab.ui.components.alt_text import READ
from genlab.ui.components.metric_strip import strip
from genlab.ui.components.panel import buttons, heading
from genlab.ui.components.pictures import blank, grid
from genlab.ui.components.run_button import fill_on_press
from genlab.ui.context import AppContext
from genlab.ui.tabs.guidance.inputs import METHODS, GuidanceInputs, preview_every

SLOT = "guidance"
INTRO = "The same noise, three ways. Without guidance the digit is whatever the noise becomes."
ROW = 5  # a typed row of up to so many pictures stands in one line


def build(context: AppContext, controls: Sequence[gr.components.Component]) -> None:
    """Add the mode's content to the tab."""
    gr.Markdown(INTRO, elem_classes=["intro"])
    press = buttons(SLOT, looks=["redraws"])
    places = []
    with gr.Row(elem_classes=["panels", "level"]):
        for name, method in METHODS.items():
            with gr.Column(min_width=260, elem_classes=["panel"]):
                formula = f'<p class="formula">{method.formula}</p>'
                gr.HTML(heading(method.title) + formula, elem_classes=["flush"])
                gallery = gr.HTML(blank(), elem_id=f"{SLOT}-{name}-gallery", elem_classes=["flush"])
                figures = gr.HTML(elem_id=f"{SLOT}-{name}-strip", elem_classes=["figures", "flush"])
                places.append([gallery, figures])

    def cells(*values: Any) -> list[Cell]:
        return cells_of(context, GuidanceInputs.of(values))

    fill_on_press(context, SLOT, press, controls, places, cells, draw)


def cells_of(context: AppContext, inputs: GuidanceInputs) -> list[Cell]:
    """A cell for each method."""
    every = preview_every(inputs.num_inference_steps)
    return [
        Cell.of(lambda m=method: inputs.request(context.registry, m, preview_every=every))
        for method in METHODS
    ]


def draw(_: int, view: CellView) -> Sequence[Any] | None:
    """The pictures of a method, or how far they are; and their figures once they are measured."""
    if view.done:
        (result,) = view.results
        figures = {**result.figures, SECONDS.key: result.seconds}
        seen = result.figures.get(READ, ())
        alts = [
            f"picture {n + 1} of {len(view.pictures)}: the judge sees {seen[n]}"
            for n in range(len(seen))
        ]
        return [_gallery(view.pictures, alts), strip(figures, FAMILY.strip)]
    previews = view.previews
    return None if previews is None else [_gallery(previews), gr.skip()]


def _gallery(pictures: np.ndarray | Sequence[str], alts: Sequence[str] = ()) -> str:
    return grid(pictures, columns=len(pictures) if len(pictures) <= ROW else None, alts=alts)
