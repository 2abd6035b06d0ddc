"""Mode What CFG does: the two predictions of each step, and what guidance makes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from genlab.requests import StableDiffusionRequest, UserError
from genlab.ui.components.panel import PRIVATE, buttons, stoppable
from genlab.ui.context import Lab
from genlab.ui.live_run import complaint, play
from genlab.ui.tabs.stable_diffusion.controls import Controls, asked
from genlab.ui.tabs.stable_diffusion.trajectory_view import FOLLOW, blank_film, film_html

SLOT = "sd-cfg"
INTRO = (
    "Each step predicts the clean picture twice, **without and with the prompt**, and goes on past "
    "the second: unconditional + scale × (conditional − unconditional). Move the step: when does "
    "the model know what it draws, and what does the scale add?"
)

NO_FILM = complaint("This model does not show its two predictions; choose Toybox.")


def build(lab: Lab, controls: Controls) -> None:
    """Add the mode's content to the tab."""
    gr.Markdown(INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["press"]):
        press = buttons(SLOT, "Film a run")
    film = gr.HTML(blank_film(), elem_id=f"{SLOT}-film", elem_classes=["flush"], js_on_load=FOLLOW)

    async def run(request: gr.Request, *values: Any) -> AsyncIterator[tuple[Any, ...]]:
        def build() -> list[StableDiffusionRequest]:
            return [filmed(asked(values))]

        async for frame in play(lab, str(request.session_hash), SLOT, build, judge=False):
            if frame.results is not None:
                extras = frame.results[0].extras
                told = "film_uncond" in extras  # a pipeline that runs as a whole keeps no film
                film_or_not = await asyncio.to_thread(film_html, extras) if told else NO_FILM
                yield frame.status, gr.Button(interactive=frame.running), film_or_not
            else:
                yield frame.status, gr.Button(interactive=frame.running), gr.skip()

    press.generate.click(
        run, controls.inputs, [press.status, press.stop, film],
        preprocess=False, concurrency_limit=None, trigger_mode="multiple", **PRIVATE,
    )  # fmt: skip
    stoppable(lab, SLOT, press.stop)


def filmed(request: StableDiffusionRequest) -> StableDiffusionRequest:
    """The request with a film of its first picture; raises UserError where there is none to see."""
    if not request.guided:
        raise UserError(
            f"At guidance_scale {request.guidance_scale:g} the model predicts once, with the "
            "prompt: there is no second prediction to compare. Set it above 1."
        )
    return request.model_copy(update={"count": 1, "preview_every": 0, "film": True})
