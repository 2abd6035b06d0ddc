"""Mode Generate: the picture as it forms, and live mode, which redraws while a slider moves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from genlab.models.registry import Entry
from genlab.requests import Request, StableDiffusionRequest, UserError
from genlab.ui.components.panel import PRIVATE, buttons, drawing, drawn_on, numbered, panel, wire
from genlab.ui.context import Lab
from genlab.ui.live_run import complaint
from genlab.ui.tabs.stable_diffusion.controls import Controls, asked, restored

SLOT = "sd"
SMALL = 100e6  # bytes of weights that a CPU can redraw while a slider moves
PATIENCE = 0.4  # seconds that a live run may go on for after a newer value has come
SAME_MOVE = 0.1  # seconds; a run that began this short before a move is that move's own
READ = "The controls are as they were for this picture: Generate draws it again."
LIVE = "Redraws at once when a setting moves."


def build(lab: Lab, controls: Controls) -> None:
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
            dropped = gr.File(
                label="Drop a GenLab PNG", file_types=[".png"], height=150, elem_id="sd-png"
            )
            note = gr.HTML(elem_id="sd-png-note", elem_classes=["flush"])
    inputs = [*controls.inputs, count, every]

    def requests(*values: Any) -> list[Request]:
        *settings, count, every = values
        return [asked(settings, count=count, preview_every=every)]

    wire(lab, SLOT, press, [shown], inputs, requests, captions=_read)

    moved = _moves(live, [controls.steps, controls.guidance, controls.scheduler, controls.seed])
    # The last value always gets its turn, and a run that is slow to end makes way for it.
    gr.on(
        [moved.change],
        drawing(lab, SLOT, requests, captions=_read),
        inputs,
        drawn_on(press, [shown]),
        preprocess=False,
        concurrency_limit=None,
        trigger_mode="always_last",
        **PRIVATE,
    )

    async def make_way(request: gr.Request) -> None:
        begun_before = time.monotonic() - SAME_MOVE
        await asyncio.sleep(PATIENCE)
        lab.desk.make_way(str(request.session_hash), SLOT, begun_before)

    moved.change(make_way, None, None, queue=False, trigger_mode="multiple", **PRIVATE)

    def read(file: Any) -> list[Any]:
        """The controls of a dropped PNG's recipe."""
        try:
            request, notes = restored_from(lab, Path(file["path"]))
        except UserError as error:
            return [complaint(str(error)), None, *[gr.skip()] * (len(controls.outputs) + 2)]
        told = "".join(f'<p class="note">{escape(sentence)}</p>' for sentence in (READ, *notes))
        settings = restored(request.model_dump())
        return [told, None, *settings, request.count, request.count]

    dropped.upload(
        read, dropped, [note, dropped, *controls.outputs, count, count_slider],
        queue=False, preprocess=False, **PRIVATE,
    )  # fmt: skip

    def offered(checkpoint: Any) -> Any:
        if is_small(lab.catalogue.entry(str(checkpoint))):
            return gr.Checkbox(interactive=True, info=LIVE)
        return gr.Checkbox(value=False, interactive=False, info="This model is too large for it.")

    controls.checkpoint.change(
        offered, controls.checkpoint, live, queue=False, preprocess=False, **PRIVATE
    )


def is_small(entry: Entry) -> bool:
    """Whether a model is of Toybox's size, so that a slider can be followed."""
    return entry.nbytes < SMALL


def restored_from(lab: Lab, path: Path) -> tuple[StableDiffusionRequest, tuple[str, ...]]:
    """What the picture in an uploaded PNG was asked with, and what differs here.

    Raises UserError. The file is left to Gradio's clearing: thirty students who drop the teacher's
    picture share one file.
    """
    request, notes = lab.catalogue.restore(path.read_bytes())
    if not isinstance(request, StableDiffusionRequest):
        title = lab.catalogue.entry(request.checkpoint).title
        raise UserError(f"That picture was drawn by {title}, which is in another tab.")
    return request, notes


def _moves(live: gr.Checkbox, settings: Sequence[Any]) -> gr.Number:
    """A number that changes whenever a setting does while ``live`` is on; the browser counts."""
    moves = gr.Number(0, visible="hidden", elem_id="sd-live-moves")
    gr.on(
        [live.input, *(setting.change for setting in settings)],
        None, [live, moves], moves,
        js="(live, moves) => live ? moves + 1 : moves", show_progress="hidden",
    )  # fmt: skip
    return moves


def _read(figures: dict[str, Any]) -> Sequence[str]:
    """What the judge reads in each picture."""
    return [escape(text) for text in figures.get("read", ())]
