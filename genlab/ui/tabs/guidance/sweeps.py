"""The Guidance tab's modes Steps and Scale: one setting swept, a row of pictures for each value.

Knows no tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import gradio as gr
import numpy as np

from genlab.engine import Result
from genlab.requests import PixelDiffusionRequest
from genlab.ui.components.metric_strip import duration
from genlab.ui.components.panel import PRIVATE, buttons, chooser, heading, numbered
from genlab.ui.components.pictures import blank, grid
from genlab.ui.context import Lab
from genlab.ui.tabs.guidance.cells import Draw, Figures, Plan, preview_every, wire_cells
from genlab.ui.tabs.guidance.measured_scales import GUIDED, measured_scales
from genlab.ui.tabs.guidance.plots import REACH, scale_curve
from genlab.ui.tabs.guidance.settings import METHODS, Wish

STEPS = (1, 2, 5, 10, 25, 50, 100)
SCALES = (0, 1, 2, 4, 8, 16)
ACROSS = 10  # pictures shown of a request, its first ones
NARROW = "rung narrow"  # the looks of a row in half the width
LIVE = 20  # pictures for each scale
CURVES = {
    "label_accuracy": "Label accuracy",
    "fid": "FID",
    "diversity": "Diversity within a class",
}
FLOORS = {"fid": "fid_floor", "diversity": "diversity_floor"}  # those of real pictures

STEPS_INTRO = (
    "The same noise in 1 to 100 steps. **How many are enough?** All seven runs share their "
    "network calls, so a row's time holds some of its neighbours' work."
)
SCALES_INTRO = (
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


def build_steps(lab: Lab, controls: Sequence[gr.components.Component]) -> None:
    """Add the mode that sweeps num_inference_steps."""
    gr.Markdown(STEPS_INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["beside"]):
        with gr.Column(min_width=260):
            press = buttons("guidance-ladder", "Draw all seven")
        method = chooser(
            "guidance-ladder-method", "Method", "The scheduler is that of the settings.",
            [(METHODS[name].title, name) for name in METHODS], "classifier-free",
        )  # fmt: skip
    names = [f"{steps} step{'s' * (steps > 1)}" for steps in STEPS]
    rungs = [_rung(f"guidance-ladder-{k}", name) for k, name in zip(STEPS, names, strict=True)]

    def plan(chosen: Any, *values: Any) -> Plan:
        wish = Wish(*values)
        planned = Plan()
        for steps in STEPS:
            changes = {"num_inference_steps": steps, "preview_every": preview_every(steps)}
            planned.add(lambda c=changes: wish.request(lab.catalogue, str(chosen), **c))
        return planned

    wire_cells(
        lab, "guidance-ladder", press, [method, *controls], rungs, plan,
        _filling(names, ("seconds", "accuracy", "sharpness")),
    )  # fmt: skip


def build_scales(lab: Lab, controls: Sequence[Any], tab: gr.Tab) -> None:
    """Add the mode that sweeps guidance_scale: curves stored with the card, and live rows."""
    checkpoint, free, classifier = controls[0], controls[5], controls[6]
    first = str(checkpoint.value)
    gr.Markdown(SCALES_INTRO, elem_classes=["intro"])
    note = gr.HTML(_how(lab, first), elem_id="guidance-scales-measured", elem_classes=["flush"])
    with gr.Row(elem_id="guidance-scales-plots", elem_classes=["curves"]):
        plots = [
            gr.Plot(
                figure, show_label=False, min_width=280,
                elem_id=f"guidance-scales-{key.replace('_', '-')}",
                elem_classes=["plotted", "marked", "twice"],
            )
            for key, figure in zip(CURVES, _plots(lab, first, {}), strict=True)
        ]  # fmt: skip
    with gr.Row(elem_classes=["beside"]):
        with gr.Column(min_width=260):
            press = buttons("guidance-scales", "Redraw live")
        samples, _ = numbered(
            "guidance-scales-samples", "Pictures a scale",
            "All ten classes in turn, rings in the plots. So few give no FID.", 10, 64, LIVE,
        )  # fmt: skip
    names = [f"s = {scale}" for scale in SCALES]
    rungs = []
    with gr.Row(elem_classes=["panels"]):
        for name in GUIDED:
            with gr.Column(min_width=300, elem_classes=["panel"]):
                gr.HTML(heading(METHODS[name].title), elem_classes=["flush"])
                rungs += [
                    _rung(f"guidance-scales-{name}-{scale}", told, NARROW)
                    for scale, told in zip(SCALES, names, strict=True)
                ]

    def plan(pictures: Any, *values: Any) -> Plan:
        wish = Wish(*values)
        every = preview_every(wish.num_inference_steps)
        planned = Plan()
        for name in GUIDED:
            for scale in SCALES:
                changes = {
                    "labels": tuple(range(10)), "count": pictures,
                    "guidance_scale": scale, "preview_every": every,
                }  # fmt: skip
                planned.add(lambda n=name, c=changes: wish.request(lab.catalogue, n, **c))
        return planned

    def summarise(planned: Plan, figures: Sequence[Figures]) -> Sequence[Any]:
        """The curves, with what was just drawn on them."""
        live: dict[str, list[dict[str, Any]]] = {name: [] for name in GUIDED}
        for request, known in zip(planned.cells, figures, strict=True):
            if isinstance(request, PixelDiffusionRequest) and "as_asked_percent" in known:
                point = {
                    "guidance_scale": request.guidance_scale,
                    "label_accuracy": known["as_asked_percent"]["class"] / 100,
                    "diversity": known.get("diversity"),
                }
                live[request.guidance].append(point)
        return _plots(lab, planned.requests[0].checkpoint, live)

    wire_cells(
        lab, "guidance-scales", press, [samples, *controls], rungs, plan,
        _filling(names * 2, ("accuracy", "diversity"), NARROW), plots, summarise,
    )  # fmt: skip

    def chosen(name: Any) -> tuple[Any, ...]:
        return _how(lab, str(name)), *_plots(lab, str(name), {})

    checkpoint.change(chosen, checkpoint, [note, *plots], queue=False, preprocess=False, **PRIVATE)
    gr.on([free.change, classifier.change, tab.select], None, [free, classifier], None, js=MARK)


def _rung(name: str, title: str, looks: str = "rung") -> list[gr.components.Component]:
    """The empty row for one value."""
    place = f'<div class="{looks}"><b>{title}</b>{blank(ACROSS, 1)}<p></p></div>'
    return [gr.HTML(place, elem_id=name, elem_classes=["flush"])]


def _filling(names: Sequence[str], told: Sequence[str], looks: str = "rung") -> Draw:
    """Draws the row of cell k: its name, its first pictures, and the figures ``told``."""

    def draw(
        k: int, images: np.ndarray, result: Result | None, figures: Figures | None
    ) -> Sequence[Any]:
        known = figures or {}
        words = [text for key in told if (text := FIGURES[key](result, known))]
        pictures = grid(images[:ACROSS], columns=ACROSS)
        text = "".join(f"<span>{word}</span>" for word in words)
        return (f'<div class="{looks}"><b>{names[k]}</b>{pictures}<p>{text}</p></div>',)

    return draw


def _accuracy(_: Result | None, figures: Figures) -> str:
    right = figures.get("as_asked_percent", {}).get("class")
    return "" if right is None else f"{right:.0f} % as asked"


FIGURES: dict[str, Callable[[Result | None, Figures], str]] = {
    "seconds": lambda result, _: duration(result.seconds) if result else "",
    "accuracy": _accuracy,
    "sharpness": lambda _, known: (
        f"sharpness {known['sharpness_percent']:.0f} %" if "sharpness_percent" in known else ""
    ),
    "diversity": lambda _, known: (
        f"diversity {known['diversity']:.2f}" if "diversity" in known else ""
    ),
}


def _plots(lab: Lab, checkpoint: str, live: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Any]:
    """One plot a figure of CURVES."""
    told = measured_scales(lab.catalogue.entry(checkpoint))
    return [
        scale_curve(title, key, told, live, told.get(FLOORS.get(key, "")))
        for key, title in CURVES.items()
    ]


def _how(lab: Lab, checkpoint: str) -> str:
    """How the stored curves were measured, or that there are none."""
    entry = lab.catalogue.entry(checkpoint)
    told = measured_scales(entry)
    if not told:
        return f'<p class="note">{escape(entry.title)} has no measured curves; draw them live.</p>'
    points = [point for method in GUIDED for point in told[method]]
    samples = max((int(p.get("samples", 0)) for p in points), default=0)
    how = f"{told.get('num_inference_steps', '?')} {str(told.get('scheduler', '')).upper()} steps"
    return f'<p class="note">Measured beforehand: {samples:,} pictures a point, {escape(how)}.</p>'
