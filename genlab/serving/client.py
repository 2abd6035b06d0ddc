"""The only door to the models: submit a request, follow its events, cancel by id.

Page, API, CLI, benchmarks and evaluation know this and no driver. No torch.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from genlab.engine.events import FINAL, Event, Failed, Progress, Result
from genlab.requests import Request, UserError


class Ticket:
    """One submitted request and the mailbox of its events.

    Iterate it (``for event in ticket`` or ``async for event in ticket``) for its events, up to and
    with the final one. A slow reader gets the newest progress, not every one. One reader a ticket.
    """

    _ids = itertools.count(1)

    def __init__(self, request: Request, owner: str) -> None:
        self.id = next(self._ids)
        self.request = request
        self.owner = owner
        self.cancelled = False  # whether its owner has asked for its end
        self.repeated = False  # whether it was run again after its worker had died
        self._unread: deque[Event] = deque()
        self._arrived = threading.Condition()
        self._wake: Callable[[], Any] | None = None
        self._when_ended: Callable[[Event], Any] | None = None
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether the final event was posted."""
        return self._ended

    def post(self, event: Event) -> None:
        """Hand an event to the reader (any thread); newer status replaces unread status."""
        with self._arrived:
            if self._ended:
                return
            if self._unread and not isinstance(self._unread[-1], FINAL):
                unseen = self._unread.pop()
                event = event.with_preview_of(unseen) if isinstance(event, Progress) else event
            self._unread.append(event)
            self._ended = isinstance(event, FINAL)
            self._arrived.notify_all()
            if self._wake is not None:
                self._wake()
            call = self._when_ended if self._ended else None
        if call is not None:
            call(event)

    def when_ended(self, call: Callable[[Event], Any]) -> None:
        """Let ``call`` have the final event when it is posted, or at once if it waits to be read.

        For who submits the ticket, before anybody reads it; the call must be quick.
        """
        with self._arrived:
            self._when_ended = call
            last = self._unread[-1] if self._unread else None
        if isinstance(last, FINAL):
            call(last)

    def __iter__(self) -> Iterator[Event]:
        while True:
            with self._arrived:
                self._arrived.wait_for(lambda: bool(self._unread))
                event = self._unread.popleft()
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
                    event = self._unread.popleft() if self._unread else None
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


@dataclass(frozen=True)
class ServingFigures:
    """How busy a driver is, and how it fares."""

    device: str = ""  # "" until it is known
    open_jobs: int = 0  # waiting or running
    restarts: int = 0  # workers that died and were replaced
    healthy: bool = True
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # loaded ones: rows...
    waiting_jobs: int = 0  # of the open ones, those that have not begun
    wait_seconds: float | None = None  # until those inside are served; None if nobody can say


class Client(ABC):
    """What every driver offers; thread-safe, and usable as a context manager that closes it."""

    @abstractmethod
    def submit(self, request: Request, owner: str = "local") -> Ticket:
        """Queue a request; raises UserError if it cannot be served or the house is full."""

    @abstractmethod
    def cancel(self, ticket_id: int) -> None:
        """Stop one request, queued or running; nobody else's is touched."""

    @abstractmethod
    def figures(self) -> ServingFigures:
        """How busy it is."""

    def wait_until_ready(self) -> None:  # noqa: B027  # most have nothing to wait for
        """Return when it can draw; raises UserError if it never will."""

    @abstractmethod
    def close(self) -> None:
        """Refuse new requests, end those inside with a sentence, and free the device."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
