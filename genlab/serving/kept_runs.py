"""What runs have shown so far, so that a page which comes back finds them where they are.

A run belongs to its visitor, not to the page that watches: a reload, a phone that slept or a
network that was gone leaves it alone. A page says whose it is by a token; while nobody watches, a
run goes on for as long as ``patience`` says. Of each run only the newest of every output is kept.

For one event loop; knows no page, no model and no driver.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from genlab.serving.session_runs import RunRegistry

log = logging.getLogger(__name__)

TOKEN = re.compile(r"[0-9a-zA-Z-]{16,64}")
MAX_VISITORS = 4000
MAX_BYTES = 64_000_000
KEPT_SECONDS = 3600.0  # as long as finished pictures are
NO_TEXT = 20_000  # bytes that an update which is no text is taken for: a plot, a button

Updates = tuple[Any, ...]
"""One for each output of a run; ``KEEP`` where it shows what it showed."""


class _Keep:
    """The update that changes nothing."""

    def __repr__(self) -> str:
        return "KEEP"


KEEP = _Keep()


class KeptRun:
    """One press of a button: what it has shown, and who watches it.

    Args:
        source: yields its updates; closed when the run has to end.
        keeps: whether an update of the source changes nothing.
        patience: seconds that it goes on while nobody watches.
        ended: called once it has ended.
    """

    def __init__(
        self,
        owner: str,
        source: AsyncGenerator[Sequence[Any], None],
        keeps: Callable[[Any], bool],
        patience: float,
        ended: Callable[[], None],
    ) -> None:
        self.owner = owner  # the page that has it now
        self.ended_at: float | None = None
        self._latest: list[Any] = []
        self._stamps: list[int] = []  # the version in which each output changed last
        self._version = 0
        self._news = asyncio.Event()
        self._error: Exception | None = None
        self._keeps = keeps
        self._patience = patience
        self._ended = ended
        self._watching = 0
        self._departure: asyncio.TimerHandle | None = None
        self._task = asyncio.get_running_loop().create_task(self._drain(source))
        self._task.add_done_callback(self._end)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.ended_at is None

    @property
    def nbytes(self) -> int:
        """About how much it keeps."""
        return sum(_size(update) for update in self._latest)

    async def follow(self) -> AsyncGenerator[Updates, None]:
        """What it shows, from all that it has shown on to its end; raises what ended it."""
        self._watching += 1
        if self._departure is not None:
            self._departure.cancel()
            self._departure = None
        seen = 0
        try:
            while True:
                news = self._news
                if self._version > seen:
                    updates = zip(self._latest, self._stamps, strict=True)
                    shown = tuple(new if stamp > seen else KEEP for new, stamp in updates)
                    seen = self._version
                    yield shown
                elif self.running:
                    await news.wait()
                elif self._error is not None:
                    raise self._error
                else:
                    return
        finally:
            self._watching -= 1
            if not self._watching and self.running:
                self._left()

    def end(self) -> None:
        """End it, whatever it was about to show."""
        self._task.cancel()

    def _left(self) -> None:
        loop = asyncio.get_running_loop()
        if self._patience:
            self._departure = loop.call_later(self._patience, self.end)
        else:
            self.end()

    async def _drain(self, source: AsyncGenerator[Sequence[Any], None]) -> None:
        try:
            async with aclosing(source) as frames:
                async for updates in frames:
                    self._take(updates)
        except Exception as error:
            log.exception("A run has failed.")
            self._error = error

    def _end(self, task: asyncio.Task[None]) -> None:
        if self._departure is not None:
            self._departure.cancel()
        self.ended_at = time.monotonic()
        self._tell()
        self._ended()

    def _take(self, updates: Sequence[Any]) -> None:
        self._version += 1
        if not self._latest:
            self._latest, self._stamps = [KEEP] * len(updates), [0] * len(updates)
        for k, update in enumerate(updates):
            if not self._keeps(update):
                self._latest[k], self._stamps[k] = update, self._version
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class KeptRuns:
    """The newest run of every visitor's slots, and which page is whose.

    Args:
        runs: where Stop finds them.
        patience: seconds that a run goes on for a page that is gone, and that its result waits.
        max_bytes: of results that are kept; the oldest go first.

    Attributes:
        gone: is told the last page of each visitor that did not come back.
        moved: each is told the old and the new page of a visitor that came back.
    """

    def __init__(
        self, runs: RunRegistry, patience: float = 120.0, max_bytes: int = MAX_BYTES
    ) -> None:
        self.gone: Callable[[str], None] = lambda page: None
        self.moved: list[Callable[[str, str], None]] = []
        self._runs = runs
        self._patience = patience
        self._max_bytes = max_bytes
        self._visitors: dict[str, str] = {}  # by page
        self._pages: OrderedDict[str, str] = OrderedDict()  # the newest page of each visitor
        self._kept: dict[str, dict[str, KeptRun]] = {}  # by visitor and slot
        self._departures: dict[str, asyncio.TimerHandle] = {}  # of visitors

    def begin(
        self,
        owner: str,
        slot: str,
        source: AsyncGenerator[Sequence[Any], None],
        keeps: Callable[[Any], bool],
    ) -> KeptRun:
        """A run of a page, in place of the one that its slot had."""
        run = KeptRun(owner, source, keeps, self._patience, self._trim)
        self._kept.setdefault(self._visitors.get(owner, owner), {})[slot] = run
        return run

    def of(self, owner: str) -> dict[str, KeptRun]:
        """The runs that a page's visitor has, by slot."""
        self._trim()
        return dict(self._kept.get(self._visitors.get(owner, owner), {}))

    def arrive(self, owner: str, token: str) -> None:
        """A page says whose it is: what the visitor's page before had begun is this one's now."""
        visitor = visitor_of(token)
        if not visitor:
            return
        self._stay(visitor)
        before = self._pages.pop(visitor, "")
        self._visitors[owner], self._pages[visitor] = visitor, owner
        self._runs.accounts[owner] = visitor
        begun = self._kept.pop(owner, {})  # before it said so
        kept = self._kept.pop(visitor, {}) | begun
        if kept:
            self._kept[visitor] = kept
        for old in {before, *(run.owner for run in kept.values())} - {owner, ""}:
            self._runs.adopt(old, owner)
            for move in self.moved:
                move(old, owner)
        for run in kept.values():
            run.owner = owner
        while len(self._pages) > MAX_VISITORS:
            self._forget(next(iter(self._pages)))

    def left(self, owner: str) -> None:
        """A page is gone. What cannot be found again ends; the rest waits for the visitor."""
        visitor = self._visitors.pop(owner, owner)
        self._runs.accounts.pop(owner, None)
        kept = self._kept.get(visitor, {})
        for slot in self._runs.slots(owner):
            if slot not in kept or not self._patience:
                self._runs.stop(owner, slot)
        if self._pages.get(visitor, owner) != owner:
            return  # a newer page of the same visitor is there
        self._stay(visitor)
        loop = asyncio.get_running_loop()
        self._departures[visitor] = loop.call_later(self._patience, self._forget, visitor)

    def _stay(self, visitor: str) -> None:
        if departure := self._departures.pop(visitor, None):
            departure.cancel()

    def _forget(self, visitor: str) -> None:
        self._stay(visitor)
        page = self._pages.pop(visitor, visitor)
        self._visitors.pop(page, None)
        self._runs.accounts.pop(page, None)
        for run in self._kept.pop(visitor, {}).values():
            run.end()
        self.gone(page)

    def _trim(self) -> None:
        """Drop results that are too old or too many."""
        ended = sorted(
            (run.ended_at, visitor, slot, run.nbytes)
            for visitor, kept in self._kept.items()
            for slot, run in kept.items()
            if run.ended_at is not None
        )
        nbytes = sum(size for *_, size in ended)
        last = time.monotonic() - KEPT_SECONDS
        for ended_at, visitor, slot, size in ended:
            if ended_at > last and nbytes <= self._max_bytes:
                break
            del self._kept[visitor][slot]
            if not self._kept[visitor]:
                del self._kept[visitor]
            nbytes -= size


async def together(runs: Mapping[str, KeptRun]) -> AsyncGenerator[dict[str, Updates], None]:
    """Follow several runs at once: what each slot shows now, for those with news."""
    streams = {slot: run.follow() for slot, run in runs.items()}

    async def step(slot: str) -> tuple[str, Updates | None]:
        try:
            return slot, await anext(streams[slot], None)
        except Exception:  # it was told where the run was begun
            return slot, None

    waiting = {asyncio.ensure_future(step(slot)) for slot in streams}
    try:
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            news = dict(task.result() for task in done)
            shown = {slot: updates for slot, updates in news.items() if updates is not None}
            waiting |= {asyncio.ensure_future(step(slot)) for slot in shown}
            if shown:
                yield shown
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for stream in streams.values():
            await stream.aclose()


def visitor_of(token: str) -> str:
    """Whose page says this token; "" if it is none. What a visitor is known by here."""
    return hashlib.sha256(token.encode()).hexdigest()[:32] if TOKEN.fullmatch(token) else ""


def _size(update: Any) -> int:
    if isinstance(update, str):
        return len(update)
    return 0 if update is KEEP or update is None else NO_TEXT
