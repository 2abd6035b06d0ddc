"""What a panel shows when it is opened: one run for everybody, drawn once and kept a while.

Thirty visitors who open a tab at the same moment follow the same run, and who opens it later is
given what came of it. Knows no tab, no request and no component.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from typing import Any

KEPT_SECONDS = 1800.0  # half of what pictures are kept for, so that none is shown without them
REST_SECONDS = 60.0  # after a run of which nothing came, before the next one is tried
BEAT = 0.5  # seconds between two looks at a run that is not over yet
MOST_VISITS = 20_000

log = logging.getLogger(__name__)

Updates = tuple[Any, ...]
Start = Callable[[], AsyncIterator[Updates]]
"""Begins a run; it yields an update for each output, None for one that stays as it is. The first is
of its status, "" in the end if nothing came of it."""


class _SharedRun:
    """One run and what of it is to be seen by now: the newest update of each output."""

    def __init__(self, start: Start, begun: float) -> None:
        self.begun = begun
        self.latest: list[Any] = []
        self.version = 0
        self.task = asyncio.ensure_future(self._follow(start))

    @property
    def empty(self) -> bool:
        """Whether it has ended and there is nothing to be seen."""
        return self.task.done() and all(update in (None, "") for update in self.latest)

    async def _follow(self, start: Start) -> None:
        try:
            async for updates in start():
                before = self.latest or [None] * len(updates)
                self.latest = [
                    old if new is None else new for old, new in zip(before, updates, strict=True)
                ]
                self.version += 1
        except Exception:
            log.exception("What a panel opens with could not be drawn.")
            self.latest = [""] * bool(self.latest) + [None] * (len(self.latest) - 1)
            self.version += 1


class OpeningRuns:
    """The runs that panels open with, and who has seen which; one event loop's own.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._runs: dict[str, _SharedRun] = {}
        self._visits: OrderedDict[tuple[str, str], bool] = OrderedDict()  # whether it is their own

    def has_own(self, owner: str, slot: str) -> None:
        """Note that a visitor runs something in a panel: what it opens with is not for them."""
        self._visits[owner, slot] = True
        self._visits.move_to_end((owner, slot))
        while len(self._visits) > MOST_VISITS:
            self._visits.popitem(last=False)

    async def follow(self, owner: str, slot: str, start: Start) -> AsyncIterator[Updates]:
        """What a panel opens with, up to its end or until the visitor runs something there.

        Nothing for a visitor who has seen it, or has something else there already.

        Args:
            owner: the visitor.
            slot: the panel.
            start: draws it; called if nobody's run is there to be shown.
        """
        if (owner, slot) in self._visits:
            return
        self._visits[owner, slot] = False
        run, shown = self._run(slot, start), 0
        while True:
            await asyncio.wait({run.task}, timeout=BEAT)
            if self._visits.get((owner, slot)):
                return
            if run.version > shown and any(update is not None for update in run.latest):
                shown = run.version
                yield tuple(run.latest)
            if run.task.done():
                return

    def _run(self, slot: str, start: Start) -> _SharedRun:
        now = self._clock()
        run = self._runs.get(slot)
        kept = REST_SECONDS if run is not None and run.empty else KEPT_SECONDS
        if run is None or now - run.begun > kept:
            run = self._runs[slot] = _SharedRun(start, now)
        return run
