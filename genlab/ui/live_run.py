"""From requests to frames of a page: submit, follow, keep the pictures. Knows no component.

A tab says which cells of the page are to be filled and by which requests; it is told again and
again how each cell stands. Every button that draws goes through here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from html import escape
from typing import Self

import numpy as np

from genlab.engine.events import (
    FINAL, Cancelled, Event, Failed, Loading, Progress, Queued, Result,
)  # fmt: skip
from genlab.requests import Request, SampleRequest, UserError
from genlab.serving.client import Ticket
from genlab.serving.session_runs import Run, Stopped, Superseded
from genlab.ui.components.metric_strip import bar
from genlab.ui.components.pictures import reduced
from genlab.ui.context import AppContext

REDRAW = 0.12  # seconds between two frames: quick enough to look live, light for thirty visitors
HEARTBEAT = 1.0  # Gradio notices a closed browser tab only when a generator yields


@dataclass(frozen=True)
class Cell:
    """What is wanted in one place of the page: usually one request, or why there is none."""

    requests: tuple[Request, ...] = ()
    refused: str = ""

    @classmethod
    def of(cls, build: Callable[[], Request]) -> Self:
        """The cell of the request that ``build`` makes, or of the UserError that it raises."""
        try:
            return cls((build(),))
        except UserError as error:
            return cls(refused=str(error))


@dataclass(frozen=True)
class CellView:
    """What is to be seen of a cell at one moment.

    Attributes:
        events: the newest of each request; ``(Failed(refused),)`` for a refusal.
        pictures: addresses of the finished pictures of its sample requests, in order, once all of
            its requests have their results; other requests' images are in ``results`` alone.
    """

    events: tuple[Event, ...]
    pictures: tuple[str, ...] = ()

    @property
    def results(self) -> tuple[Result, ...]:
        """Those of its finished requests, in order."""
        return tuple(event for event in self.events if isinstance(event, Result))

    @property
    def done(self) -> bool:
        """Whether every request has its result."""
        return len(self.results) == len(self.events)

    @property
    def failed(self) -> str:
        """The sentence of the first request that failed; "" if none did."""
        return next((event.message for event in self.events if isinstance(event, Failed)), "")

    @property
    def previews(self) -> np.ndarray | None:
        """What its pictures look like by now, thinned, uint8 (N, H, W[, 3]).

        None unless the newest event of every request shows something, and not all are done.
        """
        if self.done:
            return None
        seen = [_seen(event) for event in self.events]
        shown = [reduced(picture) for some in seen if some is not None for picture in some]
        return np.stack(shown) if shown and all(some is not None for some in seen) else None

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1: the mean of its requests' shares."""
        return sum(map(share_of, self.events)) / len(self.events) if self.events else 1.0


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
            cells = _Cells(context, run, build(), alone_may_fail)
            async with aclosing(cells.follow(in_turn)) as frames:
                async for frame in frames:
                    yield frame
            status = summary(cells.results, time.monotonic() - run.begun, noun)
            yield cells.frame(status, running=False)
        except UserError as error:
            status = error_line(str(error))
            yield cells.frame(status, False) if cells else Frame(status, running=False)
        except Stopped:
            status = status_line("Stopped. The engine is free again.")
            yield cells.stopped(status) if cells else Frame(status, running=False)
        except Superseded:
            return


class _Cells:
    """The cells of one run while they fill.

    Raises UserError if each of them is refused, or one of them must not be.
    """

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
        self._addresses = [[()] * len(cell.requests) for cell in self._cells]
        self._shown: list[tuple[Event, ...]] = [() for _ in self._cells]
        self._raise_failures()

    @property
    def results(self) -> list[Result]:
        """Of all cells."""
        return [e for events in self._events for e in events if isinstance(e, Result)]

    async def follow(self, in_turn: bool) -> AsyncGenerator[Frame, None]:
        """A frame whenever there are news, up to the moment before the last one.

        Raises UserError, Stopped or Superseded.
        """
        filling = asyncio.ensure_future(self._fill_in_turn() if in_turn else self._fill_together())
        try:
            framed = 0.0
            while not filling.done():
                now = time.monotonic()
                if self._news() or now - framed > HEARTBEAT:
                    framed = now
                    yield self.frame(progress([e for events in self._events for e in events]))
                await asyncio.wait({filling}, timeout=REDRAW)
                self._raise_ending()
                self._raise_failures()
            await filling  # what submitting raised
            self._raise_ending()
        finally:
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)

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

    async def _fill_together(self) -> None:
        """Submit every cell before any is followed, so that their steps are shared."""
        submitted = [self._run.submit(c.requests if not c.refused else ()) for c in self._cells]
        await asyncio.gather(*(self._fill(k, tickets) for k, tickets in enumerate(submitted)))

    async def _fill_in_turn(self) -> None:
        for k, cell in enumerate(self._cells):
            if cell.refused:
                continue
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
                self._addresses[k][i] = await keep(self._context, ticket.request, event)
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


async def keep(context: AppContext, request: SampleRequest, result: Result) -> tuple[str, ...]:
    """Put a result's pictures into the store, with what is needed to draw them again."""
    metadata = context.registry.generation_metadata(request, result.fingerprint)
    return tuple(await context.pictures.put(result.images, metadata))


def _seen(event: Event) -> np.ndarray | None:
    """What a request's pictures look like by now, if its newest event says so."""
    if isinstance(event, Result):
        return event.images
    return event.preview if isinstance(event, Progress) else None


# --- sentences ------------------------------------------------------------------------------


def progress(events: Sequence[Event]) -> str:
    """The status line while requests wait or run; the slowest one speaks for all."""
    return status_line(how_far(events)[0])


def how_far(events: Sequence[Event]) -> tuple[str, float]:
    """Where requests that wait or run have got to, in words and from 0 to 1."""
    loading = next((event for event in events if isinstance(event, Loading)), None)
    if loading is not None:
        return f"Loading {loading.title} ...", 0.0
    waiting = [event for event in events if isinstance(event, Queued)]
    if waiting:
        ahead = max(event.position for event in waiting) - 1
        if ahead <= 0:
            return "Starting: you are next in line.", 0.0
        return f"In the queue: {ahead} {plural(ahead, 'request')} before yours.", 0.0
    moving = [event for event in events if isinstance(event, Progress)]
    if not moving:
        return "Finishing.", 1.0
    last = min(moving, key=share_of)
    left = f", about {max(1, round(last.eta))} s left" if last.eta and last.eta >= 0.5 else ""
    return f"Step {last.step} of {last.total}{left}", share_of(last)


def share_of(event: Event) -> float:
    """How much of a request is done, from 0 to 1; what has ended is."""
    if isinstance(event, Progress):
        return event.step / event.total
    return 1.0 if isinstance(event, FINAL) else 0.0


def summary(results: Sequence[Result], seconds: float, noun: str = "picture") -> str:
    """The status line at the end: how much, how long, and what the person should know."""
    count = sum(len(result.images) for result in results)
    waited = max((result.waited for result in results), default=0.0)
    queue = f", {waited:.1f} s of it waiting" if waited >= 0.5 else ""
    notes = dict.fromkeys(note for result in results for note in result.notes)
    done = f"{count} {plural(count, noun)} in {seconds:.2f} s{queue}."
    return status_line(done) + "".join(f'<p class="note">{escape(note)}</p>' for note in notes)


def plural(count: int, noun: str) -> str:
    """The noun, with an s unless there is one of it."""
    return noun if count == 1 else f"{noun}s"


def status_line(sentence: str, done: float | None = None) -> str:
    """A calm status line; with a bar if ``done``, from 0 to 1, is given."""
    line = "" if done is None else bar(done)
    return f'<p class="said" role="status">{escape(sentence)}</p>{line}'


def error_line(sentence: str) -> str:
    """A status line that names what was wrong."""
    return f'<p class="complaint" role="alert">{escape(sentence)}</p>'
