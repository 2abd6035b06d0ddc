"""Mode Grid: two settings against each other, one job a cell, filling in live. No tensor."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr
from PIL import Image

from genlab.engine import Event, Failed, Progress, Queued, Result
from genlab.requests import StableDiffusionRequest, UserError
from genlab.ui.desk import Stopped, Superseded
from genlab.ui.lab import Lab
from genlab.ui.panel import PRIVATE, buttons, chooser, stoppable
from genlab.ui.run import complaint, follow, plural, progress, said
from genlab.ui.sd.axes import AXES, MOST, Axis, Plan, axis, plan
from genlab.ui.sd.cells import PICK, Table, chosen, settings_of
from genlab.ui.sd.controls import Controls, asked, restored
from genlab.ui.sd.sheet import labelled_sheet

SLOT = "sd-grid"
INTRO = (
    "One picture for each pair of values, all drawn at the same time. **Read along a row, then "
    "down a column**: which setting changes what? A click on a cell takes over its settings."
)
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
    with lab.desk.run(owner, slot) as run:
        try:
            wanted = build()
            table, events = Table(wanted), ()
            async with aclosing(follow(run, run.submit(wanted.requests), apart=True)) as moments:
                async for events in moments:
                    status = _progress(events, time.monotonic() - begun)
                    yield Moment(status, True, table.html(events), "")
            status = _summary(events, time.monotonic() - begun)
            yield Moment(status, False, table.html(events), download(png(lab, wanted, events)))
        except UserError as error:
            yield Moment(complaint(str(error)), False)
        except Stopped:
            yield Moment(said("Stopped. The engine is free again."), False)
        except Superseded:
            return


def planned(
    lab: Lab, base: StableDiffusionRequest, x: str, x_values: Any, y: str, y_values: Any
) -> Plan:
    """The grid that is asked for, no larger than what one visitor may have waiting."""
    most = min(MOST, lab.settings.max_jobs_per_owner)
    return plan(base, axis(x, x_values or "", base), axis(y, y_values or "", base), most)


def png(lab: Lab, wanted: Plan, events: Sequence[Event]) -> bytes:
    """The grid as one labelled PNG."""
    base = wanted.requests[0]
    taken = {wanted.columns.name, wanted.rows.name}
    fixed = {k: v for k, v in settings_of(base).items() if k not in taken and v != ""}
    title = lab.catalogue.entry(base.checkpoint).title
    picture = labelled_sheet(
        f"{title}: {base.prompt}",
        ", ".join(f"{AXES[name][0]} {value}" for name, value in fixed.items()),
        _labels(wanted.columns),
        _labels(wanted.rows),
        [event.images[0] if isinstance(event, Result) else None for event in events],
    )
    return _encoded(picture)


def download(content: bytes) -> str:
    """A link that saves the PNG."""
    url = "data:image/png;base64," + base64.b64encode(content).decode()
    return f'<a class="save-all" download="genlab-grid.png" href="{url}">Download as PNG</a>'


def _encoded(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, format="PNG")
    return file.getvalue()


def _labels(axis: Axis) -> tuple[str, Sequence[str]]:
    return axis.title, axis.labels


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


def _progress(events: Sequence[Event], seconds: float) -> str:
    """How many cells are there, and how long the rest will take."""
    drawn = sum(isinstance(event, Result) for event in events)
    shares = [1.0 if isinstance(e, (Result, Failed)) else _share(e) for e in events]
    done = sum(shares) / len(shares)
    if not done:
        return progress([event for event in events if isinstance(event, Queued)] or [Queued(1)])
    left = seconds / done - seconds
    remains = f", about {max(1, round(left))} s left" if left >= 0.5 else ""
    return said(f"{drawn} of {len(events)} pictures{remains}", done)


def _share(event: Event) -> float:
    return event.step / event.total if isinstance(event, Progress) else 0.0


def _summary(events: Sequence[Event], seconds: float) -> str:
    drawn = sum(isinstance(event, Result) for event in events)
    failures = [event.message for event in events if isinstance(event, Failed)]
    told = said(f"{drawn} {plural(drawn, 'picture')} in {seconds:.2f} s.")
    if failures:
        told += f'<p class="note">{len(failures)} failed: {escape(failures[0])}</p>'
    return told
