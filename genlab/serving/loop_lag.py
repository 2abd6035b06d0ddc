"""How late the event loop is: whatever holds it up, holds up every visitor. Knows no page."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

INTERVAL = 0.05  # seconds between two looks
REMEMBERED = 12_000  # looks: ten minutes


class LoopLag:
    """Sleeps a moment again and again and writes down by how much too long each sleep was."""

    def __init__(self) -> None:
        self._late: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)  # when, seconds

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Measure the loop that this is entered on, as long as the ``with`` lasts."""
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            begun = time.monotonic()
            await asyncio.sleep(INTERVAL)
            now = time.monotonic()
            self._late.append((now, max(0.0, now - begun - INTERVAL)))

    def figures(self, seconds: float = 60.0) -> dict[str, float]:
        """Median, 99th percentile and maximum of the last so many seconds; in seconds, 0 if none.

        A stop of one second counts as all the looks that it kept from being taken.
        """
        since = time.monotonic() - seconds
        late: list[float] = []
        for when, lag in tuple(self._late):
            if when >= since:
                late += [lag - k * INTERVAL for k in range(1 + int(lag / INTERVAL))]
        late.sort()

        def at(share: float) -> float:
            return round(late[math.ceil(share * len(late)) - 1], 4) if late else 0.0

        return {"p50": at(0.5), "p99": at(0.99), "max": at(1.0)}
