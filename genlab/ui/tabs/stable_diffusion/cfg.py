"""Mode What CFG does: the two predictions of each step, and what guidance makes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import gradio as gr
import numpy as np

from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.requests import UserError
from genlab.ui.cells import Cell
from genlab.ui.components.panel import buttons
from genlab.ui.components.pictures import blank
from genlab.ui.components.progress import error_line
from genlab.ui.components.run_button import ended, on_press
from genlab.ui.components.trajectory_view import (
    FOLLOW,
    Curve,
    Line,
    difference_map,
    step_images,
    trajectory_view,
)
from genlab.ui.context import AppContext
from genlab.ui.live_run import live_run
from genlab.ui.tabs.stable_diffusion.controls import Controls, request_of

SLOT = "sd-cfg"
INTRO = (
    "Each step predicts the clean picture twice, **without and with the prompt**, and goes on past "
    "the second: unconditional + scale × (conditional − unconditional). It opens where the two "
    "differ most; press Play: when does the model know what it draws, and what does the scale add?"
)
NO_TRAJECTORY = error_line("This model does not show its two predictions; choose Toybox.")
CAPTIONS = {
    "uncond": ("Unconditional", "the empty or negative prompt"),
    "cond": ("Conditional", "the prompt"),
    "guided": ("Guided", "what the step takes"),
    "difference": ("Difference", "where the prompt speaks"),
}


def build(context: AppContext, controls: Controls) -> None:
    """Add the mode's content to the tab."""
    gr.Markdown(INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["press"]):
        press = buttons(SLOT, "Film a run")
    shown = gr.HTML(blank(4, 2), elem_id=f"{SLOT}-film", elem_classes=["flush"], js_on_load=FOLLOW)

    async def run(request: gr.Request, *values: Any) -> AsyncIterator[tuple[Any, ...]]:
        def cells() -> list[Cell]:
            return [Cell((with_trajectory(request_of(values)),))]

        owner = str(request.session_hash)
        async for frame in live_run(context, owner, SLOT, cells, alone_may_fail=False):
            view = gr.skip()
            if ended(frame):
                (result,) = frame.cells[0].results
                view = await asyncio.to_thread(view_of, result.extras)
            yield frame.status, gr.update(interactive=frame.running), view

    on_press(context, SLOT, press, run, controls.inputs, [shown])


def with_trajectory(request: StableDiffusionRequest) -> StableDiffusionRequest:
    """The request with the trajectory of its first picture; UserError where none can be seen."""
    if not request.guided:
        raise UserError(
            f"At guidance_scale {request.guidance_scale:g} the model predicts once, with the "
            "prompt: there is no second prediction to compare. Set it above 1."
        )
    changes = {"count": 1, "preview_every": 0, "trajectory": True, "judge": False}
    return request.model_copy(update=changes)


def view_of(extras: Mapping[str, Any]) -> str:
    """The slider, the pictures of each step and the curve of the guidance, as HTML.

    Args:
        extras: a Result's ``trajectory_*`` of a guided run; its picture 0 is shown.
    """
    if "trajectory_uncond" not in extras:  # a pipeline that runs as a whole keeps none
        return NO_TRAJECTORY
    pictures = {name: extras[f"trajectory_{name}"][:, 0] for name in ("uncond", "cond", "guided")}
    pictures["difference"] = difference_map(pictures["cond"], pictures["uncond"])
    images = "".join(
        step_images(pictures[name], f"<b>{title}</b><span>{meaning}</span>")
        for name, (title, meaning) in CAPTIONS.items()
    )
    steps = [int(step) for step in extras["trajectory_steps"]]
    total = steps[-1] + 1  # the last step is always kept
    moments = [
        f"{step + 1} of {total}, t = {t:.0f}"
        for step, t in zip(steps, extras["trajectory_timesteps"], strict=True)
    ]
    norms = [float(norm) for norm in extras["trajectory_guidance_norm"][:, 0]]
    curve = Curve(
        "Guidance at this step, ‖guided − unconditional‖",
        [Line(norms)],
        ("first step: noise", "last step: picture"),
        values=[f"{norm:.2f}" for norm in norms],
    )
    start = widest(pictures["cond"], pictures["uncond"])
    four = f'<div class="four">{images}</div>'
    return trajectory_view(steps, moments, four, [curve], start=start)


def widest(one: np.ndarray, other: np.ndarray) -> int:
    """The recorded step at which two runs, uint8 (S, H, W[, 3]), differ most."""
    gap = np.abs(one.astype(np.float32) - other.astype(np.float32))
    return int(gap.reshape(len(gap), -1).mean(axis=1).argmax())
