"""From requests to frames of a page: submit, follow, keep the pictures. Knows no component.

A tab says which cells of the page are to be filled and by which requests; it is told again and
again how each cell stands. Every button that draws goes through here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Self

from genlab.engine.events import FINAL, Cancelled, Event, Failed, Progress, Queued, Result
from genlab.requests import SampleRequest, UserError
from genlab.serving.client import Ticket
from genlab.serving.session_runs import Run, Stopped, Superseded
from genlab.ui.cells import Cell, CellView
from genlab.ui.components.progress import error_line, progress, status_line, summary
from genlab.ui.context import AppContext

REDRAW = 0.12  # seconds between two frames at least: quick enough to look live
FRAMES = 30.0  # a second, of all runs together: drawing frames must not take a core from the models
LONGEST = 2.0  # seconds between two frames at most
HEARTBEAT = 1.0  # Gradio notices a closed browser tab only when a generator yields


@dataclass(frozen=True)
class Frame:
    """What a page shows at one moment of a run.

    Attributes:
        status: HTML of the status line.
        running: False in the last frame of a run, and only there.
        cells: how each stands; empty in a frame that only says what was wrong.
        changed: the cells with news since the previous frame.
    """

    status: str
    running: bool = True
    cells: tuple[CellView, ...] = ()
    changed: frozenset[int] = frozenset()


def between_frames(runs: int) -> float:
    """Seconds between two frames of a run when so many are under way."""
    return min(max(REDRAW, runs / FRAMES), LONGEST)


async def live_run(
    context: AppContext,
    owner: str,
    slot: str,
    build: Callable[[], Sequence[Cell]],
    *,
    in_turn: bool = False,
    noun: str = "picture",
    alone_may_fail: bool = True,
) -> AsyncGenerator[Frame, None]:
    """Fill the cells that ``build`` gives; a frame for all news, and the last is not running.

    What a visitor can mend becomes a sentence in the status; pictures shown before stay. After
    Stop, what had not ended is ``Cancelled``. A run that a newer one has replaced ends without a
    word.

    Args:
        owner: the visitor.
        slot: where on the page; a visitor's newer run in a slot replaces the older.
        build: raises UserError if nothing can be drawn.
        in_turn: whether a cell's requests wait until those of the cell before have ended.
        noun: what one image is called in the status.
        alone_may_fail: whether a cell that fails says so itself while the others go on; if not,
            the first failure ends the run with its sentence.
    """
    with context.runs.run(owner, slot) as run:
        cells: _Cells | None = None
        try:
            cells = _Cells.begin(context, run, build(), in_turn, alone_may_fail)
            async with aclosing(cells.follow()) as frames:
                async for frame in frames:
                    yield frame
            status = summary(cells.results, time.monotonic() - run.begun, noun)
            yield cells.frame(status, running=False)
        except UserError as error:
            status = error_line(str(error))
            yield cells.frame(status, False) if cells else Frame(status, running=False)
        except Stopped as stopped:
            status = status_line(str(stopped))
            yield cells.stopped(status) if cells else Frame(status, running=False)
        except Superseded:
            return


class _Cells:
    """The cells of one run while they fill."""

    def __init__(
        self, context: AppContext, run: Run, cells: Sequence[Cell], alone_may_fail: bool
    ) -> None:
        self._context = context
        self._run = run
        self._alone_may_fail = alone_may_fail
        self._cells = [self._checked(cell) for cell in cells]
        self._events: list[list[Event]] = [
            [Failed(cell.refused)] if cell.refused else [Queued(0) for _ in cell.requests]
            for cell in self._cells
        ]
        self._addresses: list[list[tuple[str, ...]]] = [
            [()] * len(cell.requests) for cell in self._cells
        ]
        self._shown: list[tuple[Event, ...]] = [() for _ in self._cells]
        self._filling: asyncio.Future[Any]
        self._current = list(range(len(self._cells)))  # those that the status is about

    @classmethod
    def begin(
        cls,
        context: AppContext,
        run: Run,
        cells: Sequence[Cell],
        in_turn: bool,
        alone_may_fail: bool,
    ) -> Self:
        """The cells on their way; all are submitted before any is followed, to share their steps.

        Raises UserError if none of them can be served, or one that must be cannot.
        """
        begun = cls(context, run, cells, alone_may_fail)
        begun._raise_failures()
        if in_turn:
            begun._filling = asyncio.ensure_future(begun._fill_in_turn())
        else:
            tickets = [run.submit(() if cell.refused else cell.requests) for cell in begun._cells]
            begun._filling = asyncio.gather(*map(begun._fill, range(len(tickets)), tickets))
        return begun

    @property
    def results(self) -> list[Result]:
        """Of all cells."""
        return [e for events in self._events for e in events if isinstance(e, Result)]

    async def follow(self) -> AsyncGenerator[Frame, None]:
        """A frame whenever there are news, up to the moment before the last one.

        Raises UserError, Stopped or Superseded.
        """
        try:
            framed = 0.0
            while True:
                pause = between_frames(self._context.runs.count)
                await asyncio.wait({self._filling}, timeout=pause)
                self._raise_ending()
                self._raise_failures()
                if self._filling.done():
                    break
                if self._news() or time.monotonic() - framed > HEARTBEAT:
                    framed = time.monotonic()
                    yield self.frame(progress([e for k in self._current for e in self._events[k]]))
            await self._filling  # raises what went wrong in there
        finally:
            self._filling.cancel()
            await asyncio.gather(self._filling, return_exceptions=True)

    def frame(self, status: str, running: bool = True) -> Frame:
        """How all cells stand now."""
        changed, self._shown = self._news(), [tuple(events) for events in self._events]
        return Frame(status, running, tuple(map(self._view, range(len(self._cells)))), changed)

    def stopped(self, status: str) -> Frame:
        """The last frame after Stop."""
        self._events = [
            [event if isinstance(event, FINAL) else Cancelled() for event in events]
            for events in self._events
        ]
        return self.frame(status, running=False)

    def _view(self, k: int) -> CellView:
        view = CellView(tuple(self._events[k]))
        if not view.done:
            return view
        return CellView(view.events, tuple(a for some in self._addresses[k] for a in some))

    def _news(self) -> frozenset[int]:
        pairs = enumerate(zip(self._events, self._shown, strict=True))
        return frozenset(k for k, (now, shown) in pairs if [*map(id, now)] != [*map(id, shown)])

    def _checked(self, cell: Cell) -> Cell:
        """The cell, refused if one of its requests cannot be served and the others may be."""
        if not self._alone_may_fail:
            return cell
        try:
            for request in cell.requests:
                self._context.registry.check(request)
        except UserError as error:
            return Cell(refused=str(error))
        return cell

    async def _fill_in_turn(self) -> None:
        for k, cell in enumerate(self._cells):
            if cell.refused:
                continue
            self._current = [k]
            try:
                await self._fill(k, self._run.submit(cell.requests))
            except UserError as error:
                self._events[k] = [Failed(str(error)) for _ in cell.requests]

    async def _fill(self, k: int, tickets: Sequence[Ticket]) -> None:
        await asyncio.gather(*(self._read(k, i, ticket) for i, ticket in enumerate(tickets)))

    async def _read(self, k: int, i: int, ticket: Ticket) -> None:
        """Keep the newest event of one request; a result counts once its pictures are kept."""
        async for event in ticket:
            before = self._events[k][i]
            if isinstance(event, Result) and isinstance(ticket.request, SampleRequest):
                self._addresses[k][i] = await _stored(self._context, ticket.request, event)
                event = replace(event, files=())  # they lie in the store now
            shown = bool(self._shown[k]) and before is self._shown[k][i]
            if isinstance(event, Progress) and not shown:
                event = event.with_preview_of(before)
            self._events[k][i] = event

    def _raise_ending(self) -> None:
        if any(isinstance(e, Cancelled) for events in self._events for e in events):
            raise self._run.ending or Stopped()

    def _raise_failures(self) -> None:
        """Raise UserError with the first sentence if all cells have failed, or one that may not."""
        views = [CellView(tuple(events)) for events in self._events]
        failed = [view.failed for view in views if view.failed]
        if failed and (not self._alone_may_fail or len(failed) == len(views)):
            raise UserError(failed[0])


async def _stored(context: AppContext, request: SampleRequest, result: Result) -> tuple[str, ...]:
    """Put a result's pictures into the store, with what is needed to draw them again."""
    metadata = context.registry.generation_metadata(request, result.fingerprint)
    return tuple(await context.pictures.put(result.images, metadata, result.files))
