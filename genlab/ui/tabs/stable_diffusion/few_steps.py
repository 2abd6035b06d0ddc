"""Mode Few steps: a model and the one that was distilled from it, at the same few step counts.

Knows no model by name and no tensor.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from genlab.diffusion.schedulers import SCHEDULERS
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.formats.metadata import ModelMetadata
from genlab.requests import parse_request
from genlab.ui.cells import Cell, CellView
from genlab.ui.components.panel import buttons, missing
from genlab.ui.components.pictures import blank, grid
from genlab.ui.components.progress import error_line
from genlab.ui.components.run_button import on_press
from genlab.ui.context import AppContext
from genlab.ui.live_run import live_run
from genlab.ui.tabs.stable_diffusion.controls import Controls, request_of
from genlab.ui.tabs.stable_diffusion.models import defaults, usable

SLOT = "sd-few"
STEPS = (1, 2, 4, 8, 25)
COUNT = 16
COLUMNS = 4
INTRO = (
    "**What distillation buys**: the second model was taught to reach in one step what the first "
    "reaches in many, guidance included. Same prompt, same seeds, with each model's own scheduler. "
    "From how many steps on does each draw what was asked, and whose pictures differ more?"
)


@dataclass(frozen=True)
class Pair:
    """A model and one that was distilled to draw the same in fewer steps."""

    teacher: ModelMetadata
    student: ModelMetadata


def build(context: AppContext, controls: Controls) -> None:
    """Add the mode's content to the tab."""
    pair = pair_of(usable(context))
    if pair is None:
        missing("distilled", "stable-diffusion-toybox-turbo")
        return
    gr.Markdown(INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["press"]):
        press = buttons(SLOT, "Draw both")
    rows = [
        gr.HTML(blank(len(STEPS), 1), elem_id=f"{SLOT}-{who}", elem_classes=["flush"])
        for who in ("teacher", "student")
    ]

    async def run(request: gr.Request, *values: Any) -> AsyncIterator[tuple[Any, ...]]:
        wanted: list[StableDiffusionRequest] = []

        def cells() -> Sequence[Cell]:
            wanted.extend(requests_for(pair, request_of(values)))
            return [Cell((one,)) for one in wanted]

        async for frame in live_run(context, str(request.session_hash), SLOT, cells):
            updates: list[Any] = [gr.skip()] * 2
            for k in {cell // len(STEPS) for cell in frame.changed}:
                part = slice(k * len(STEPS), (k + 1) * len(STEPS))
                entry = pair.teacher if k == 0 else pair.student
                updates[k] = row_of(entry, wanted[part], frame.cells[part])
            yield frame.status, gr.update(interactive=frame.running), *updates

    on_press(context, SLOT, press, run, controls.inputs, rows)


def pair_of(entries: Sequence[ModelMetadata]) -> Pair | None:
    """The first distilled model with one of its data set that is not; None if there is none."""
    for student in entries:
        if student.distilled is None or not student.dataset:
            continue
        for teacher in entries:
            if teacher.dataset == student.dataset and teacher.distilled is None:
                return Pair(teacher, student)
    return None


def requests_for(pair: Pair, base: StableDiffusionRequest) -> list[StableDiffusionRequest]:
    """The teacher's pictures at each of STEPS, then the student's; raises UserError.

    The teacher is drawn with the page's scale and scheduler, the student with its own.
    """
    shared = base.model_dump() | {"count": COUNT, "preview_every": 0, "judge": True}
    taught = shared | {"checkpoint": pair.teacher.name}
    learnt = shared | {"checkpoint": pair.student.name, "lora": ""} | defaults(pair.student)
    return [
        parse_request(StableDiffusionRequest, **settings | {"num_inference_steps": steps})
        for settings in (taught, learnt)
        for steps in STEPS
    ]


def row_of(
    entry: ModelMetadata, requests: Sequence[StableDiffusionRequest], views: Sequence[CellView]
) -> str:
    """One model's pictures at each number of steps, and what the judge says of them, as HTML."""
    one = requests[0]
    label = SCHEDULERS[one.scheduler].label
    scale = f", guidance_scale {one.guidance_scale:g}" if one.guided else ""
    figures = "".join(
        _figure(request.num_inference_steps, view)
        for request, view in zip(requests, views, strict=True)
    )
    title = f"{escape(entry.title)}<small>{label}{scale}</small>"
    return f'<h2 class="few-title">{title}</h2><div class="by-steps">{figures}</div>'


def _figure(steps: int, view: CellView) -> str:
    unit = "step" if steps == 1 else "steps"
    words = f"<b>{steps} {unit}</b>"
    if view.failed:
        return f"<div>{words}{error_line(view.failed)}</div>"
    pictures = view.pictures if view.done else None
    if not pictures:
        return f"<div>{words}{blank(1, 1)}</div>"
    (result,) = view.results
    alts = [f"picture {k + 1} of {len(pictures)} in {steps} {unit}" for k in range(len(pictures))]
    said = "".join(f"<span>{text}</span>" for text in _said(result.figures, len(pictures)))
    return f"<div>{words}{grid(pictures, columns=COLUMNS, alts=alts)}{said}</div>"


def _said(figures: Any, count: int) -> list[str]:
    """How many pictures are as asked, and how they differ, where a judge has said so."""
    said = []
    if "all_as_asked_percent" in figures:
        said.append(f"{round(figures['all_as_asked_percent'] * count / 100)} of {count} as asked")
    if "diversity" in figures:
        said.append(f"diversity {figures['diversity']:.1f}")
    return said
