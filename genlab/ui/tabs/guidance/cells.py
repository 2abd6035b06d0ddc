"""Runs whose pictures are shown apart: each request has a cell of the page, filling in live.

A request that is refused or fails says why in its own cell, and the others go on.
Knows no method of guidance and no tensor.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
import numpy as np

from genlab.engine import Event, Failed, Progress, Result
from genlab.requests import PixelDiffusionRequest, UserError
from genlab.ui.components.panel import PRIVATE, Buttons, stoppable
from genlab.ui.context import Lab
from genlab.ui.live_run import Frame, complaint, play

Figures = dict[str, Any]
Draw = Callable[[int, np.ndarray, Result | None, Figures | None], Sequence[Any]]
"""Updates of cell k's outputs: from its pictures or previews, the result once there is one, and
its figures once they are known."""

PREVIEWS = 8  # during a run


@dataclass
class Plan:
    """What is asked for in each cell: a request, or the sentence on why there is none."""

    cells: list[PixelDiffusionRequest | Failed] = field(default_factory=list)

    def add(self, build: Callable[[], PixelDiffusionRequest]) -> None:
        """Give the next cell the request that ``build`` makes, or the UserError it raises."""
        try:
            self.cells.append(build())
        except UserError as error:
            self.cells.append(Failed(str(error)))

    @property
    def requests(self) -> list[PixelDiffusionRequest]:
        """The requests that can be made; raises UserError if there is not one."""
        good = [cell for cell in self.cells if isinstance(cell, PixelDiffusionRequest)]
        if not good:
            raise UserError(next(cell.message for cell in self.cells if isinstance(cell, Failed)))
        return good

    def spread(self, items: Sequence[Any], fill: Any = None) -> list[Any]:
        """One item a cell, from one item a request; ``fill`` where there is no request."""
        left = iter(items)
        return [next(left) if isinstance(c, PixelDiffusionRequest) else fill for c in self.cells]

    def events(self, frame: Frame) -> list[Event | None]:
        """The newest event of each cell; None while nothing is known."""
        told = self.spread(frame.events) if frame.events is not None else [None] * len(self.cells)
        return [c if isinstance(c, Failed) else e for c, e in zip(self.cells, told, strict=True)]


def preview_every(steps: Any) -> int:
    """Steps between two previews; 0, for none, if ``steps`` is no number to count by."""
    return -(-int(steps) // PREVIEWS) if isinstance(steps, (int, float)) and 1 < steps < 1e4 else 0


def wire_cells(
    lab: Lab,
    slot: str,
    press: Buttons,
    inputs: Sequence[gr.components.Component],
    cells: Sequence[Sequence[gr.components.Component]],
    plan: Callable[..., Plan],
    draw: Draw,
    summary: Sequence[gr.components.Component] = (),
    summarise: Callable[[Plan, Sequence[Figures]], Sequence[Any]] = lambda plan, figures: (),
) -> None:
    """Let a button run what ``plan(*inputs)`` asks for, and Stop end it.

    Args:
        cells: the outputs of each cell; a sentence goes into the first, and empties the others.
        summary: outputs that ``summarise`` fills at the end, from the figures of each cell.
    """

    async def generate(request: gr.Request, *values: Any) -> AsyncIterator[tuple[Any, ...]]:
        asked = Plan()
        seen: list[Event | None] = [None] * len(cells)

        def build() -> Sequence[PixelDiffusionRequest]:
            asked.cells = plan(*("" if value is None else value for value in values)).cells
            return asked.requests

        async for frame in play(lab, str(request.session_hash), slot, build, apart=True):
            updates, last = nothing(), [gr.skip()] * len(summary)
            figures: list[Figures | None] = [None] * len(asked.cells)
            if frame.measures is not None:
                figures = asked.spread(frame.measures, {})
                last = list(summarise(asked, asked.spread(frame.measures, {})))
            for k, event in enumerate(asked.events(frame)):
                if event is not seen[k] or figures[k] is not None:
                    updates[k] = shown(k, event, figures[k]) or updates[k]
                seen[k] = event or seen[k]
            flat = [update for cell in updates for update in cell]
            yield frame.status, gr.Button(interactive=frame.running), *flat, *last

    def nothing() -> list[Sequence[Any]]:
        return [[gr.skip()] * len(outputs) for outputs in cells]

    def shown(k: int, event: Event | None, figures: Figures | None) -> Sequence[Any]:
        """What cell k makes of an event; nothing if there is nothing to see."""
        if isinstance(event, Failed):
            return [complaint(event.message), *[""] * (len(cells[k]) - 1)]
        if isinstance(event, Result):
            return draw(k, event.images, event, figures)
        if isinstance(event, Progress) and event.preview is not None:
            return draw(k, event.preview, None, None)
        return ()

    gr.on(
        [press.generate.click],
        generate,
        list(inputs),
        [press.status, press.stop, *(part for outputs in cells for part in outputs), *summary],
        preprocess=False,
        concurrency_limit=None,
        trigger_mode="multiple",  # the desk lets the newest win
        **PRIVATE,
    )
    stoppable(lab, slot, press.stop)
