"""Mode Grid: two settings against each other, one request a picture, filling in live. No tensor."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.requests import UserError
from genlab.ui.cells import Cell, CellView
from genlab.ui.components.panel import PRIVATE, buttons, chooser
from genlab.ui.components.progress import failures, progress_line
from genlab.ui.components.run_button import ended, on_press
from genlab.ui.context import AppContext
from genlab.ui.live_run import Frame, live_run
from genlab.ui.tabs.stable_diffusion.axes import AXES, MOST, PictureGrid, axis, grid_of
from genlab.ui.tabs.stable_diffusion.controls import Controls, request_of, restored
from genlab.ui.tabs.stable_diffusion.grid_table import PICK, chosen, sheet_png, table_html

SLOT = "sd-grid"
INTRO = (
    "One picture for each pair of values, all drawn at the same time. **Read along a row, then "
    "down a column**: which setting changes what? A click on a cell takes over its settings."
)
DEFAULTS = {name: values for name, (_, values) in AXES.items()}
AXIS = "const axis = (window.genlabAxes ??= {})[%s] ??= {setting: %s, kept: %s};"
TYPED = "(setting, values) => { %s axis.kept[setting] = values; }"
CHOSEN = """async (setting, values) => {
    %s
    await new Promise(done => setTimeout(done, 100));
    values = document.querySelector(%s)?.value ?? values;
    const own = values !== axis.kept[axis.setting];
    axis.setting = setting;
    return own ? (axis.kept[setting] = values) : axis.kept[setting];
}"""
"""Client-side: a newly chosen setting brings its values, those last typed for it.

Values that came together with their setting, from a link, stay as they are: they may arrive a
moment after it.
"""
BEAT = 0.5  # seconds between two tables without a new picture: 64 cells are 50 kB
BEGIN = ("num_inference_steps", "guidance_scale")
BLANK = '<div class="blank" style="--ratio:3/1">Nothing drawn yet</div>'


def build(context: AppContext, controls: Controls) -> None:
    """Add the mode's content to the tab."""
    gr.Markdown(INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["axes"]):
        columns = _axis_controls("columns", "Columns", BEGIN[0])
        rows = _axis_controls("rows", "Rows", BEGIN[1])
    refused = gr.HTML(elem_id=f"{SLOT}-refused", elem_classes=["flush"])
    with gr.Row(elem_classes=["press"]):
        press = buttons(SLOT, "Draw the grid")
    cells = gr.HTML(BLANK, elem_id=f"{SLOT}-cells", elem_classes=["flush"], js_on_load=PICK)
    sheet = gr.HTML(elem_id=f"{SLOT}-sheet", elem_classes=["flush"])
    picked = gr.HTML(elem_id=f"{SLOT}-chosen", elem_classes=["flush"])

    async def draw(request: gr.Request, *values: Any) -> AsyncIterator[tuple[Any, ...]]:
        *settings, x, x_values, y, y_values = values

        def build() -> PictureGrid:
            return requested_grid(context, request_of(settings), x, x_values, y, y_values)

        async for frame in drawn_grid(context, str(request.session_hash), build):
            parts = (gr.skip() if part is None else part for part in (frame.table, frame.sheet))
            yield frame.status, gr.update(interactive=frame.running), *parts

    on_press(context, SLOT, press, draw, [*controls.inputs, *columns, *rows], [cells, sheet])

    def foresee(*values: Any) -> str:
        *settings, x, x_values, y, y_values = values
        return refusals(context, settings, x, x_values, y, y_values)

    parts: tuple[Any, ...] = (*columns, *rows, *controls.limiting)
    gr.on(
        [part.change for part in parts],
        foresee, [*controls.inputs, *columns, *rows], refused,
        queue=False, preprocess=False, trigger_mode="always_last", **PRIVATE,
    )  # fmt: skip

    def pick(event: gr.EventData) -> list[Any]:
        settings = dict(event.settings)
        return [chosen(settings, str(event.picture)), *restored(settings)]

    cells.select(pick, None, [picked, *controls.outputs], queue=False, **PRIVATE)


@dataclass(frozen=True)
class GridFrame:
    """What the page shows of a grid at one moment; None: as before."""

    status: str
    running: bool
    table: str | None = None
    sheet: str | None = None


async def drawn_grid(
    context: AppContext, owner: str, build: Callable[[], PictureGrid]
) -> AsyncIterator[GridFrame]:
    """Draw every picture of a grid and show each at once; one may fail alone."""
    begun = time.monotonic()
    grids: list[PictureGrid] = []

    def cells() -> Sequence[Cell]:
        grids.append(build())
        return [Cell((request,)) for request in grids[0].requests]

    count, framed = 0, 0.0
    async for frame in live_run(context, owner, SLOT, cells):
        if not frame.cells:  # nothing can be drawn
            yield GridFrame(frame.status, frame.running)
        elif frame.running:
            before, count = count, sum(view.done for view in frame.cells)
            table = None
            if count > before or time.monotonic() - framed > BEAT:
                framed, table = time.monotonic(), table_html(grids[0], frame.cells)
            yield GridFrame(_progress(frame, count, begun), True, table, "")
        else:
            yield await _ended(context, grids[0], frame)


def _progress(frame: Frame, count: int, begun: float) -> str:
    events = [event for view in frame.cells for event in view.events]
    return progress_line(
        f"{count} of {len(frame.cells)} pictures", events, time.monotonic() - begun
    )


async def _ended(context: AppContext, grid: PictureGrid, frame: Frame) -> GridFrame:
    """The last frame of a run, with the contact sheet unless it was stopped."""
    table = table_html(grid, frame.cells)
    if not ended(frame):
        return GridFrame(frame.status, False, table)
    status = frame.status + failures([event for view in frame.cells for event in view.events])
    address = await asyncio.to_thread(_keep_sheet, context, grid, frame.cells)
    return GridFrame(status, False, table, download(address))


def _keep_sheet(context: AppContext, grid: PictureGrid, views: Sequence[CellView]) -> str:
    """The address of the contact sheet; it takes a while to be drawn and encoded."""
    base = grid.requests[0]
    fingerprint = next(view.results[0].fingerprint for view in views if view.done)
    metadata = context.registry.generation_metadata(base, fingerprint)[0]
    title = context.registry.entry(base.checkpoint).title
    return context.pictures.keep(sheet_png(grid, views, title, metadata))


def requested_grid(
    context: AppContext, base: StableDiffusionRequest, x: str, x_values: Any, y: str, y_values: Any
) -> PictureGrid:
    """The grid of two settings, no larger than what one visitor may have waiting."""
    most = min(MOST, context.settings.max_jobs_per_owner)
    return grid_of(base, axis(x, x_values or "", base), axis(y, y_values or "", base), most)


def refusals(context: AppContext, settings: Sequence[Any], *axes: Any) -> str:
    """A note on the cells that cannot be drawn, with the first reason, as HTML; "" if all can.

    Args:
        settings: the controls' values.
        axes: both settings and their values, as ``requested_grid`` takes them.
    """
    try:
        requests = requested_grid(context, request_of(settings), *axes).requests
    except UserError:
        return ""  # a press of the button says it; here it would speak while somebody types
    reasons = [reason for request in requests if (reason := _refusal(context, request))]
    if not reasons:
        return ""
    which = "All" if len(reasons) == len(requests) else f"{len(reasons)} of {len(requests)}"
    return f'<p class="note" role="status">{which} cells stay empty: {escape(reasons[0])}</p>'


def _refusal(context: AppContext, request: StableDiffusionRequest) -> str:
    try:
        context.registry.check(request)
    except UserError as error:
        return str(error)
    return ""


def download(address: str) -> str:
    """A link that saves the picture at an address."""
    return f'<a class="save-all" download="genlab-grid.png" href="{address}">Download as PNG</a>'


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
    axis_state = AXIS % tuple(map(json.dumps, (name, setting, DEFAULTS)))
    both = [chosen_axis, values]
    box = json.dumps(f"#{SLOT}-{name}-values textarea, #{SLOT}-{name}-values input")
    values.input(None, both, None, js=TYPED % axis_state)
    chosen_axis.change(None, both, values, js=CHOSEN % (axis_state, box), show_progress="hidden")
    return chosen_axis, values
