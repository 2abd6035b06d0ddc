"""What a press of a mode's button starts, and how Stop ends it. Knows no model and no tensor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import gradio as gr

from genlab.ui.cells import Cell, CellView
from genlab.ui.components.numbers import as_typed
from genlab.ui.components.panel import PRIVATE, Buttons, stoppable
from genlab.ui.components.progress import error_line
from genlab.ui.context import AppContext
from genlab.ui.live_run import Frame, live_run
from genlab.ui.state.kept import kept

Draw = Callable[[int, CellView], Sequence[Any] | None]
"""The updates of cell k's outputs; None where nothing is new to be seen."""
Finish = Callable[[Sequence[Cell], Sequence[CellView]], Sequence[Any]]
"""Updates of what speaks of all cells, once all have ended."""


def on_press(
    context: AppContext,
    slot: str,
    press: Buttons,
    run: Callable[..., AsyncIterator[tuple[Any, ...]]],
    inputs: Sequence[gr.components.Component],
    outputs: Sequence[gr.components.Component],
) -> None:
    """Let the button start ``run(request, *inputs)``, and Stop end the visitor's run in ``slot``.

    ``run`` yields the status, the Stop button and the ``outputs``.
    """
    press.generate.click(
        kept(context, slot, run),
        list(inputs),
        [press.status, press.stop, *outputs],
        preprocess=False,
        js=as_typed(inputs),
        concurrency_limit=None,
        trigger_mode="multiple",  # the run registry lets the newest win
        **PRIVATE,
    )
    stoppable(context, slot, press.stop)


def fill_on_press(
    context: AppContext,
    slot: str,
    press: Buttons,
    inputs: Sequence[gr.components.Component],
    places: Sequence[Sequence[gr.components.Component]],
    build: Callable[..., Sequence[Cell]],
    draw: Draw,
    summary: Sequence[gr.components.Component] = (),
    finish: Finish = lambda cells, views: (),
) -> None:
    """Let the button fill the cells of ``build(*inputs)``, each as soon as there is news of it.

    Args:
        places: the outputs of each cell; why it failed goes into the first, and empties the others.
        draw: what is to be seen of a cell that has not failed.
        summary: outputs that ``finish`` fills at the end.
    """

    async def run(request: gr.Request, *values: Any) -> AsyncIterator[tuple[Any, ...]]:
        cells: list[Cell] = []

        def requested() -> Sequence[Cell]:
            cells.extend(build(*values))
            return cells

        async for frame in live_run(context, str(request.session_hash), slot, requested):
            updates: list[Any] = []
            for k, outputs in enumerate(places):
                news = _shown(k, frame.cells[k]) if k in frame.changed else None
                updates += [gr.skip()] * len(outputs) if news is None else news
            updates += finish(cells, frame.cells) if ended(frame) else [gr.skip()] * len(summary)
            yield frame.status, gr.update(interactive=frame.running), *updates

    def _shown(k: int, view: CellView) -> Sequence[Any] | None:
        if view.failed:
            return [error_line(view.failed), *[""] * (len(places[k]) - 1)]
        return draw(k, view)

    outputs = [*(part for place in places for part in place), *summary]
    on_press(context, slot, press, run, inputs, outputs)


def ended(frame: Frame) -> bool:
    """Whether a run has come to its end by itself, with something to be shown."""
    views = () if frame.running else frame.cells
    return all(view.done or view.failed for view in views) and any(view.done for view in views)
