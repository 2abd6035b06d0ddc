"""Mode Generate: the picture as it forms, and live mode, which redraws while a slider moves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.formats.metadata import ModelMetadata
from genlab.requests import Request, UserError
from genlab.ui.components.numbers import as_typed
from genlab.ui.components.panel import (
    PRIVATE,
    buttons,
    drawing,
    drawn_on,
    numbered,
    panel,
    wire,
)
from genlab.ui.context import AppContext
from genlab.ui.state.kept import kept
from genlab.ui.tabs.stable_diffusion.controls import Controls, request_of
from genlab.ui.tabs.stable_diffusion.recipe_box import RecipeBox

SLOT = "sd"
SMALL = 100e6  # bytes of weights that a CPU can redraw while a slider moves
PATIENCE = 0.4  # seconds that a live run may go on for after a newer value has come
SAME_MOVE = 0.1  # seconds; a run that began this short before a move is that move's own
LIVE = "Redraws at once when a setting moves."


def build(context: AppContext, controls: Controls) -> None:
    """Add the mode's content to the tab."""
    with gr.Row(elem_classes=["press"]):
        press = buttons(SLOT)
    with gr.Row(elem_classes=["split"]):
        with gr.Column(scale=2, min_width=300, elem_classes=["tall"]):
            shown = panel(SLOT)
        with gr.Column(scale=1, min_width=240, elem_classes=["controls"]):
            count, count_slider = numbered("sd-count", "Count", "How many pictures.", 1, 16, 4)
            live = gr.Checkbox(label="Live", info=LIVE, elem_id="sd-live")
            every, _ = numbered(
                "sd-preview-every", "Preview every",
                "Steps between two previews; 0 shows only the end.", 0, 20, 3,
            )  # fmt: skip
            box = RecipeBox("sd-png", "Drop a GenLab PNG")
    inputs = [*controls.inputs, count, every]

    def requests(*values: Any) -> list[Request]:
        *settings, count, every = values
        return [request_of(settings, count=count, preview_every=every, judge=True)]

    wire(context, SLOT, press, [shown], inputs, requests, captions=_captions)

    moved = _moves(live, [controls.steps, controls.guidance, controls.scheduler, controls.seed])
    # The last value always gets its turn, and a run that is slow to end makes way for it.
    gr.on(
        [moved.change],
        kept(context, SLOT, drawing(context, SLOT, requests, captions=_captions)),
        inputs,
        drawn_on(press, [shown]),
        preprocess=False,
        js=as_typed(inputs),
        concurrency_limit=None,
        trigger_mode="always_last",
        **PRIVATE,
    )

    async def make_way(request: gr.Request) -> None:
        begun_before = time.monotonic() - SAME_MOVE
        await asyncio.sleep(PATIENCE)
        context.runs.make_way(str(request.session_hash), SLOT, begun_before)

    moved.change(make_way, None, None, queue=False, trigger_mode="multiple", **PRIVATE)

    box.wire(
        context, controls, "Generate", drawn_from_noise, [count, count_slider],
        lambda request: [request.count, request.count],
    )  # fmt: skip

    def live_if_small(checkpoint: Any) -> Any:
        if is_small(context.registry.entry(str(checkpoint))):
            return gr.Checkbox(interactive=True, info=LIVE)
        return gr.Checkbox(value=False, interactive=False, info="This model is too large for it.")

    controls.checkpoint.change(
        live_if_small, controls.checkpoint, live, queue=False, preprocess=False, **PRIVATE
    )


def is_small(metadata: ModelMetadata) -> bool:
    """Whether a model is of Toybox's size, so that a slider can be followed."""
    return metadata.memory_bytes() < SMALL


def drawn_from_noise(request: StableDiffusionRequest) -> None:
    """Raise UserError for a picture that began with another one."""
    if request.picture:
        raise UserError("That picture was redrawn from another one: put it into Redraw instead.")


def _moves(live: gr.Checkbox, settings: Sequence[Any]) -> gr.Number:
    """A number that changes whenever a setting does while ``live`` is on; the browser counts."""
    moves = gr.Number(0, visible="hidden", elem_id="sd-live-moves")
    gr.on(
        [live.input, *(setting.change for setting in settings)],
        None, [live, moves], moves,
        js="(live, moves) => live ? moves + 1 : moves", show_progress="hidden",
    )  # fmt: skip
    return moves


def _captions(figures: dict[str, Any]) -> Sequence[str]:
    """What the judge reads in each picture."""
    return [escape(text) for text in figures.get("read", ())]
