"""Mode Scale: both kinds of guidance against guidance_scale, measured once and redrawn live.

Knows no tensor and no file: what was measured beforehand is among the facts of a model's metadata.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import gradio as gr

from genlab.diffusion.schedulers import SCHEDULERS
from genlab.families.pixel_diffusion.request import PixelDiffusionRequest
from genlab.formats.metadata import ModelMetadata
from genlab.ui.cells import Cell, CellView
from genlab.ui.components.panel import PRIVATE, buttons, heading, numbered
from genlab.ui.components.run_button import fill_on_press
from genlab.ui.context import AppContext
from genlab.ui.first_runs import WAITS
from genlab.ui.tabs.guidance.inputs import METHODS, GuidanceInputs, preview_every
from genlab.ui.tabs.guidance.rows import NARROW, empty_row, rows_of
from genlab.ui.tabs.guidance.scale_plots import REACH, scale_curve

SCALES = (0, 1, 2, 4, 8, 16)
GUIDED = ("classifier", "classifier-free")
SLOT = "guidance-scales"
LIVE = 20  # pictures for each scale
CURVES = {
    "label_accuracy": "Label accuracy",
    "fid": "FID",
    "diversity": "Diversity within a class",
}
FLOOR_NOTE = (
    "The dashed line is of as many real pictures: the FID of so few is never 0, and pictures more "
    "alike than real ones can lie below it."
)
FLOORS = {"fid": "fid_floor", "diversity": "diversity_floor"}  # those of real pictures
INTRO = (
    "More scale: the wished class more surely, but fewer kinds of it. FID sees both, so it has "
    "a lowest point. The upright lines are your two sliders."
)
MARK = f"""(free, classifier) => {{
    const modes = document.getElementById("guidance-modes");
    const place = scale => Math.sqrt(Math.min(Math.max(Number(scale) / {REACH}, 0), 1)) || 0;
    modes.style.setProperty("--at-free", place(free));
    modes.style.setProperty("--at-classifier", place(classifier));
}}"""
"""Moves the plots' upright lines to both scales; runs in the browser alone."""

Points = Mapping[str, Sequence[Mapping[str, Any]]]
"""By kind of guidance: points with ``guidance_scale`` and what was measured there."""


def build(context: AppContext, controls: Sequence[Any], tab: gr.Tab) -> None:
    """Add the mode's content to the tab."""
    checkpoint, free, classifier = controls[0], controls[5], controls[6]
    first = context.registry.entry(str(checkpoint.value))
    gr.Markdown(INTRO, elem_classes=["intro"])
    note = gr.HTML(how_measured(first), elem_id=f"{SLOT}-measured", elem_classes=["flush"])
    with gr.Row(elem_id=f"{SLOT}-plots", elem_classes=["curves"]):
        plots = [
            gr.Plot(
                figure, show_label=False, min_width=280,
                elem_id=f"{SLOT}-{key.replace('_', '-')}", elem_classes=["plotted", "marked"],
            )
            for key, figure in zip(CURVES, plots_of(first, {}), strict=True)
        ]  # fmt: skip
    with gr.Row(elem_classes=["beside"]):
        with gr.Column(min_width=260):
            press = buttons(SLOT, "Redraw live", looks=[WAITS])  # the plots are there already
        samples, _ = numbered(
            f"{SLOT}-samples", "Pictures a scale",
            "All ten classes in turn, rings in the plots. So few give no FID.", 10, 64, LIVE,
        )  # fmt: skip
    titles = [f"s = {scale}" for scale in SCALES]
    places = []
    with gr.Row(elem_classes=["panels"]):
        for method in GUIDED:
            with gr.Column(min_width=300, elem_classes=["panel"]):
                gr.HTML(heading(METHODS[method].title), elem_classes=["flush"])
                places += [
                    empty_row(f"{SLOT}-{method}-{scale}", title, NARROW)
                    for scale, title in zip(SCALES, titles, strict=True)
                ]

    def cells(pictures: Any, *values: Any) -> list[Cell]:
        return cells_of(context, pictures, GuidanceInputs.of(values))

    def finish(cells: Sequence[Cell], views: Sequence[CellView]) -> list[Any]:
        return plots_of(context.registry.entry(_checkpoint(cells)), live_points(cells, views))

    draw = rows_of(titles * len(GUIDED), ("accuracy", "diversity"), NARROW)
    fill_on_press(
        context, SLOT, press, [samples, *controls], places, cells, draw, plots, finish
    )  # fmt: skip

    def chosen(name: Any) -> tuple[Any, ...]:
        metadata = context.registry.entry(str(name))
        return how_measured(metadata), *plots_of(metadata, {})

    checkpoint.change(chosen, checkpoint, [note, *plots], queue=False, preprocess=False, **PRIVATE)
    gr.on([free.change, classifier.change, tab.select], None, [free, classifier], None, js=MARK)


def cells_of(context: AppContext, pictures: Any, inputs: GuidanceInputs) -> list[Cell]:
    """A cell for each scale of each kind of guidance."""
    common = {
        "labels": tuple(range(10)),
        "count": "" if pictures is None else pictures,
        "preview_every": preview_every(inputs.num_inference_steps),
    }
    wanted = [(m, common | {"guidance_scale": scale}) for m in GUIDED for scale in SCALES]
    return [Cell.of(lambda m=m, c=c: inputs.request(context.registry, m, **c)) for m, c in wanted]


def live_points(cells: Sequence[Cell], views: Sequence[CellView]) -> Points:
    """What the judge found in the pictures just drawn."""
    points: dict[str, list[dict[str, Any]]] = {method: [] for method in GUIDED}
    for cell, view in zip(cells, views, strict=True):
        for request, result in zip(cell.requests, view.results, strict=False):
            if isinstance(request, PixelDiffusionRequest) and "as_asked_percent" in result.figures:
                point = {
                    "guidance_scale": request.guidance_scale,
                    "label_accuracy": result.figures["as_asked_percent"]["class"] / 100,
                    "diversity": result.figures.get("diversity"),
                }
                points[request.guidance].append(point)
    return points


def plots_of(metadata: ModelMetadata, live: Points) -> list[Any]:
    """One plot a figure of CURVES: what was measured beforehand, and live points."""
    scales = measured_scales(metadata)
    return [
        scale_curve(title, key, scales, live, scales.get(FLOORS.get(key, "")))
        for key, title in CURVES.items()
    ]


def how_measured(metadata: ModelMetadata) -> str:
    """How the stored curves were measured, or that there are none."""
    scales = measured_scales(metadata)
    points = [point for method in GUIDED for point in scales.get(method, ())]
    if not points:
        title = escape(metadata.title)
        return f'<p class="note">{title} has no measured curves; draw them live.</p>'
    samples = max(int(point.get("samples", 0)) for point in points)
    row = SCHEDULERS.get(str(scales.get("scheduler")))
    how = f"{scales.get('num_inference_steps', '?')} {row.label if row else ''} steps"
    eta = scales.get("eta")
    if isinstance(eta, int | float) and eta:
        how += f", eta {eta:g}"
    return (
        f'<p class="note">Measured beforehand: {samples:,} pictures a point, {escape(how)}. '
        f"{FLOOR_NOTE}</p>"
    )


def measured_scales(metadata: ModelMetadata) -> Mapping[str, Any]:
    """The curves against guidance scale stored with a checkpoint; {} if there are none.

    ``classifier-free`` and ``classifier``: lists of points with ``guidance_scale``,
    ``label_accuracy``, ``fid``, ``diversity`` and ``samples``; ``fid_floor``,
    ``num_inference_steps``, ``scheduler`` and ``eta``: how they were measured.
    """
    return metadata.facts.get("scales", {})


def _checkpoint(cells: Sequence[Cell]) -> str:
    return next(request.checkpoint for cell in cells for request in cell.requests)
