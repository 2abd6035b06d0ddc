"""Mode Grid: two settings against each other, one job a cell, filling in live. No tensor."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from genlab.engine import Result
from genlab.engine.job import FINAL
from genlab.requests import StableDiffusionRequest
from genlab.ui.components.panel import PRIVATE, buttons, chooser, stoppable
from genlab.ui.components.progress import failures, told
from genlab.ui.context import Lab
from genlab.ui.live_run import play
from genlab.ui.tabs.stable_diffusion.axes import AXES, MOST, Plan, axis, plan
from genlab.ui.tabs.stable_diffusion.controls import Controls, asked, restored
from genlab.ui.tabs.stable_diffusion.grid_table import PICK, Table, chosen

SLOT = "sd-grid"
INTRO = (
    "One picture for each pair of values, all drawn at the same time. **Read along a row, then "
    "down a column**: which setting changes what? A click on a cell takes over its settings."
)
BEAT = 0.5  # seconds between two tables without a new picture: 30 cells are 220 kB
BEGIN = ("num_inference_steps", "guidance_scale")
BLANK = '<div class="blank" style="--ratio:3/1">Nothing drawn yet</div>'


def build(lab: Lab, controls: Controls) -> None:
    """Add the mode's content to the tab."""
    gr.Markdown(INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["axes"]):
        columns = _axis_controls("columns", "Columns", BEGIN[0])
        rows = _axis_controls("rows", "Rows", BEGIN[1])
    with gr.Row(elem_classes=["press"]):
        press = buttons(SLOT, "Draw the grid")
    cells = gr.HTML(BLANK, elem_id=f"{SLOT}-cells", elem_classes=["flush"], js_on_load=PICK)
    sheet = gr.HTML(elem_id=f"{SLOT}-sheet", elem_classes=["flush"])
    picked = gr.HTML(elem_id=f"{SLOT}-chosen", elem_classes=["flush"])

    async def draw(request: gr.Request, *values: Any) -> AsyncIterator[tuple[Any, ...]]:
        *settings, x, x_values, y, y_values = values

        def wanted() -> Plan:
            return planned(lab, asked(settings), x, x_values, y, y_values)

        async for moment in fill(lab, str(request.session_hash), wanted):
            yield (
                moment.status,
                gr.Button(interactive=moment.running),
                *(gr.skip() if part is None else part for part in (moment.cells, moment.sheet)),
            )

    press.generate.click(
        draw,
        [*controls.inputs, *columns, *rows],
        [press.status, press.stop, cells, sheet],
        preprocess=False,
        concurrency_limit=None,
        trigger_mode="multiple",
        **PRIVATE,
    )
    stoppable(lab, SLOT, press.stop)

    def pick(event: gr.EventData) -> list[Any]:
        settings = dict(event.settings)
        return [chosen(settings, str(event.picture)), *restored(settings)]

    cells.select(pick, None, [picked, *controls.outputs], queue=False, **PRIVATE)


@dataclass(frozen=True)
class Moment:
    """What the page shows of a grid; None: as before."""

    status: str
    running: bool
    cells: str | None = None
    sheet: str | None = None


async def fill(
    lab: Lab, owner: str, build: Callable[[], Plan], slot: str = SLOT
) -> AsyncGenerator[Moment, None]:
    """Run every cell of a plan as a job of its own and tell the page; one may fail alone."""
    begun = time.monotonic()
    drawn: list[Plan] = []

    def requests() -> Sequence[StableDiffusionRequest]:
        drawn.append(build())
        return drawn[0].requests

    table: Table | None = None
    ended = ""
    arrived, sent = 0, 0.0
    async for frame in play(lab, owner, slot, requests, judge=False, apart=True):
        if frame.events is None:
            yield Moment(ended or frame.status, frame.running)
            continue
        if table is None:
            table = await asyncio.to_thread(Table, drawn[0], lab.catalogue)
        if all(isinstance(event, FINAL) for event in frame.events):
            ended = frame.status + failures(frame.events)
            sheet = download(await asyncio.to_thread(table.png, frame.events))
            yield Moment(ended, True, table.html(frame.events), sheet)
        else:
            count = sum(isinstance(event, Result) for event in frame.events)
            what = f"{count} of {len(frame.events)} pictures"
            now = time.monotonic()
            status = told(what, frame.events, now - begun)
            fresh = count > arrived or now - sent > BEAT
            if fresh:
                arrived, sent = count, now
            yield Moment(status, True, table.html(frame.events) if fresh else None, "")


def planned(
    lab: Lab, base: StableDiffusionRequest, x: str, x_values: Any, y: str, y_values: Any
) -> Plan:
    """The grid that is asked for, no larger than what one visitor may have waiting."""
    most = min(MOST, lab.settings.max_jobs_per_owner)
    return plan(base, axis(x, x_values or "", base), axis(y, y_values or "", base), most)


def download(content: bytes) -> str:
    """A link that saves the PNG."""
    url = "data:image/png;base64," + base64.b64encode(content).decode()
    return f'<a class="save-all" download="genlab-grid.png" href="{url}">Download as PNG</a>'


def _axis_controls(name: str, label: str, setting: str) -> tuple[gr.Dropdown, gr.Textbox]:
    with gr.Column(min_width=240, elem_classes=["controls", "axis"]):
        chosen_axis = chooser(
            f"{SLOT}-{name}", label, "The setting that changes along them.",
            [(key, key) for key in AXES], setting,
        )  # fmt: skip
        values = gr.Textbox(
            AXES[setting][1], label="Values", lines=1, max_lines=6, elem_id=f"{SLOT}-{name}-values",
            info="Commas between them, or one a line.",
        )  # fmt: skip
    defaults = json.dumps({key: text for key, (_, text) in AXES.items()})
    chosen_axis.input(
        None, chosen_axis, values, js=f"name => ({defaults})[name]", show_progress="hidden"
    )
    return chosen_axis, values
