"""A request on its way through the engine, and the events its owner sees. Knows no model."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from genlab.requests import Request, UserError

_ids = itertools.count(1)


@dataclass(frozen=True)
class Queued:
    """The job waits; ``position`` 1 is next."""

    position: int


@dataclass(frozen=True)
class Progress:
    """``step`` of ``total`` is done; ``preview`` is uint8 (N, H, W[, 3]) or None."""

    step: int
    total: int
    preview: np.ndarray | None
    eta: float | None  # seconds

    def after(self, unseen: Event) -> Progress:
        """This, with the preview of an event that nobody has seen, unless it brings its own."""
        if self.preview is None and isinstance(unseen, Progress):
            return replace(self, preview=unseen.preview)
        return self


@dataclass(frozen=True)
class Result:
    """The finished job: pictures, and whatever else its family reports about them."""

    images: np.ndarray  # uint8 (N, H, W) or (N, H, W, 3)
    extras: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # plain sentences for the person
    seconds: float = 0.0  # from the first step to the last
    waited: float = 0.0  # seconds in the queue


@dataclass(frozen=True)
class Failed:
    """The job ended without a result; ``message`` is one plain sentence."""

    message: str


@dataclass(frozen=True)
class Cancelled:
    """The job's owner stopped it."""


Event = Queued | Progress | Result | Failed | Cancelled
FINAL = (Result, Failed, Cancelled)


class Job:
    """One request of one owner: what the engine and the family remember of it between ticks.

    Iterate it (``for event in job`` or ``async for event in job``) for its events, up to and with
    the final one. A slow reader gets the newest progress, not every one. One reader a job.
    """

    def __init__(self, request: Request, owner: str) -> None:
        self.id = next(_ids)
        self.request = request
        self.owner = owner
        self.state: Any = None  # the family's own
        self.step = 0
        self.total = 0
        self.submitted_at = time.monotonic()
        self.started_at: float | None = None
        self.cancelled = threading.Event()
        self._mail: deque[Event] = deque()
        self._arrived = threading.Condition()
        self._wake: Callable[[], Any] | None = None
        self._ended = False

    def cancel(self) -> None:
        """Ask for the job to stop; it is gone at the engine's next tick."""
        self.cancelled.set()

    @property
    def ended(self) -> bool:
        """Whether the final event was posted."""
        return self._ended

    def post(self, event: Event) -> None:
        """Hand an event to the reader (any thread); newer status replaces unread status."""
        with self._arrived:
            if self._ended:
                return
            if self._mail and not isinstance(self._mail[-1], FINAL):
                unread = self._mail.pop()
                event = event.after(unread) if isinstance(event, Progress) else event
            self._mail.append(event)
            self._ended = isinstance(event, FINAL)
            self._arrived.notify_all()
            if self._wake is not None:
                self._wake()

    def __iter__(self) -> Iterator[Event]:
        while True:
            with self._arrived:
                self._arrived.wait_for(lambda: bool(self._mail))
                event = self._mail.popleft()
            yield event
            if isinstance(event, FINAL):
                return

    async def __aiter__(self) -> AsyncIterator[Event]:
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the reader's loop has closed: nobody reads
                loop.call_soon_threadsafe(arrived.set)

        with self._arrived:
            self._wake = wake
        try:
            while True:
                with self._arrived:
                    event = self._mail.popleft() if self._mail else None
                    if event is None:
                        arrived.clear()
                if event is None:
                    await arrived.wait()
                    continue
                yield event
                if isinstance(event, FINAL):
                    return
        finally:
            with self._arrived:
                self._wake = None

    def result(self) -> Result:
        """Wait for the end; the result, or UserError with the sentence of what went wrong."""
        for event in self:
            if isinstance(event, Result):
                return event
            if isinstance(event, Failed):
                raise UserError(event.message)
        raise UserError("The job was stopped.")
