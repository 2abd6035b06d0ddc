"""Mode Filmstrip: one picture of the row drawn by each method, step by step. Knows no tensor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import gradio as gr
import numpy as np

from genlab.families.pixel_diffusion.request import PixelDiffusionRequest
from genlab.ui.cells import Cell, CellView
from genlab.ui.components.panel import buttons, numbered
from genlab.ui.components.pictures import blank, grid
from genlab.ui.components.progress import error_line
from genlab.ui.components.run_button import ended, on_press
from genlab.ui.components.trajectory_view import (
    FOLLOW,
    Curve,
    Line,
    follows,
    idle_slider,
    signed_map,
    step_images,
    trajectory_view,
)
from genlab.ui.context import AppContext
from genlab.ui.live_run import live_run
from genlab.ui.tabs.guidance.inputs import METHODS, UNCOND, GuidanceInputs
from genlab.ui.tabs.guidance.scale_plots import LINES, SHORT

SLOT = "guidance-film"
INTRO = (
    "One picture of the row, step by step: the noisy <i>x<sub>t</sub></i>, and the clean "
    "<i>x</i><sub>0</sub> that each prediction stands for. **When** is the class decided?"
)
SLIDER = "From noise, left, to the picture. Arrow keys work."
OVERVIEW = 8  # steps of a run that stand beside each other
LEGEND = (
    '<p class="note legend"><b class="more">red</b>: guidance puts ink here; '
    '<b class="less">blue</b>: it takes ink away. Each step is scaled to its strongest pixel.</p>'
)

Extras = Mapping[str, Mapping[str, Any]]
"""What a run with ``trajectory`` reports, by method; every array has one picture: (S, 1, ...)."""


def build(context: AppContext, controls: Sequence[gr.components.Component]) -> None:
    """Add the mode's content to the tab."""
    gr.Markdown(INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["beside"]):
        with gr.Column(min_width=260):
            press = buttons(SLOT, "Run the film", looks=["redraws"])
        which, _ = numbered(f"{SLOT}-picture", "Picture", "Which picture of the row.", 1, 64, 1)
    with gr.Column(elem_id=SLOT):
        shown = gr.HTML(
            idle_slider(SLIDER, f"{SLOT}-step") + blank(12, 5),
            elem_id=f"{SLOT}-shown", elem_classes=["flush"], js_on_load=FOLLOW,
        )  # fmt: skip

    async def run(
        request: gr.Request, picture: Any, *values: Any
    ) -> AsyncIterator[tuple[Any, ...]]:
        cells: list[Cell] = []

        def requested() -> Sequence[Cell]:
            cells.extend(cells_of(context, GuidanceInputs.of(values), picture))
            return cells

        async for frame in live_run(context, str(request.session_hash), SLOT, requested):
            view = gr.skip()
            if ended(frame):
                view = await asyncio.to_thread(view_of, cells, frame.cells)
            yield frame.status, gr.update(interactive=frame.running), view

    on_press(context, SLOT, press, run, [which, *controls], [shown])


def cells_of(context: AppContext, inputs: GuidanceInputs, picture: Any) -> list[Cell]:
    """A cell for each method, of one picture of the row."""
    return [
        Cell.of(lambda m=method: inputs.one_picture(context.registry, m, picture))
        for method in METHODS
    ]


def view_of(cells: Sequence[Cell], views: Sequence[CellView]) -> str:
    """The trajectories of the methods that were drawn, and why others were not, as HTML."""
    failures = dict.fromkeys(view.failed for view in views if view.failed)
    drawn = {
        request.guidance: (request, view.results[0].extras)
        for cell, view in zip(cells, views, strict=True)
        if view.results
        for request in cell.requests
        if isinstance(request, PixelDiffusionRequest)
    }
    requests = {method: request for method, (request, _) in drawn.items()}
    extras = {method: extras for method, (_, extras) in drawn.items()}
    return "".join(map(error_line, failures)) + compared(extras, requests)


def compared(extras: Extras, requests: Mapping[str, PixelDiffusionRequest]) -> str:
    """The trajectories of the methods side by side, each of one picture, and their curves."""
    first = next(iter(extras.values()))
    steps = np.asarray(first["trajectory_steps"])
    times = np.asarray(first["trajectory_timesteps"])
    total = next(iter(requests.values())).num_inference_steps
    moments = [f"{s + 1} of {total}, t = {t:.0f}" for s, t in zip(steps, times, strict=True)]
    panels = "".join(_panel(name, extras[name], requests[name]) for name in extras)
    return trajectory_view(
        steps, moments, f'<div class="panels">{panels}</div>{LEGEND}', curves_of(extras),
        SLIDER, f"{SLOT}-step",
    )  # fmt: skip


def curves_of(extras: Extras) -> list[Curve]:
    """How sure the classifier is, and how hard guidance pushes, a line a method."""
    wanted = (
        ("confidence", "Confidence in the wished class", "trajectory_confidence", 1.0),
        ("push", "How hard guidance pushes: ‖ε − εᵤ‖", "trajectory_guidance_norm", None),
    )
    curves = []
    for name, title, key, top in wanted:
        lines = [
            Line(_one(of_method, key).astype(float).tolist(), LINES[method], SHORT[method])
            for method, of_method in extras.items()
            if key in of_method
        ]
        steps = next(iter(extras.values()))["trajectory_steps"]
        axis = (str(steps[0] + 1), "step", str(steps[-1] + 1))
        curves.append(Curve(title, lines, axis, top, name=f"{SLOT}-{name}"))
    return curves


def _panel(name: str, extras: Mapping[str, Any], request: PixelDiffusionRequest) -> str:
    """One method: some steps beside each other, the chosen one large, and what guided it there."""
    method = METHODS[name]
    x_t, guided = _one(extras, "trajectory_x_t"), _one(extras, "trajectory_guided")
    chosen = np.unique(np.linspace(0, len(x_t) - 1, OVERVIEW).round().astype(int))
    captions = [str(extras["trajectory_steps"][k] + 1) for k in chosen]
    noisy, clean = ([f"{what} at step {n}" for n in captions] for what in ("x_t", "predicted x_0"))
    overview = grid(x_t[chosen], columns=len(chosen), alts=noisy)
    overview += grid(guided[chosen], captions, columns=len(chosen), alts=clean)
    large = step_images(x_t, "<i>x<sub>t</sub></i>")
    large += step_images(guided, "predicted <i>x</i><sub>0</sub>")
    inside = "".join(step_images(*pictures) for pictures in _inside(name, extras))
    small = inside or '<p class="note">Nothing steers this one.</p>'
    scale = "" if name == "none" else f", <i>s</i> = {request.guidance_scale:g}"
    return (
        f'<section><h2 class="panel-title">{method.title}</h2>'
        f'<p class="formula">{method.formula}{scale}</p>'
        f'<div class="evenly">{overview}</div>'
        f'<div class="large">{large}</div>'
        f"{follows(_figures(extras), looks='measured')}"
        f'<div class="small">{small}</div></section>'
    )


def _inside(name: str, extras: Mapping[str, Any]) -> list[tuple[np.ndarray, str]]:
    """What a method's guidance is made of: pictures (S, H, W[, 3]) and what they are."""
    shown = []
    by_uncond = f"<i>x</i><sub>0</sub> by {UNCOND}"
    if name == "classifier-free" and "trajectory_cond" in extras:
        uncond, cond = _one(extras, "trajectory_uncond"), _one(extras, "trajectory_cond")
        difference = cond.astype(np.float32) - uncond.astype(np.float32)
        shown += [
            (uncond, by_uncond),
            (cond, "<i>x</i><sub>0</sub> by <i>ε</i><sub>c</sub>"),
            (signed_map(difference), "their difference"),
        ]
    if name == "classifier" and "trajectory_gradient" in extras:
        if "trajectory_uncond" in extras:
            shown.append((_one(extras, "trajectory_uncond"), by_uncond))
        gradient = _one(extras, "trajectory_gradient").astype(np.float32)
        caption = "gradient ∇ log <i>p</i>(<i>y</i> | <i>x<sub>t</sub></i>)"
        shown.append((signed_map(gradient), caption))
    return shown


def _figures(extras: Mapping[str, Any]) -> list[str]:
    """How sure the classifier is and how hard guidance pushes, a line a step."""
    lines = [f"push {norm:.2f}" for norm in _one(extras, "trajectory_guidance_norm")]
    if "trajectory_confidence" not in extras:
        return lines
    sure = _one(extras, "trajectory_confidence")
    return [f"p(y | xₜ) = {100 * p:.0f} %, {line}" for p, line in zip(sure, lines, strict=True)]


def _one(extras: Mapping[str, Any], key: str) -> np.ndarray:
    """A trajectory (S, 1, ...) of one picture as (S, ...)."""
    return np.asarray(extras[key])[:, 0]
