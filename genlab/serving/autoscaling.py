"""How many replicas there should be, from the device time that is queued. Knows no replica."""

from __future__ import annotations

import math
from collections import deque

LONGEST_WAIT = 10.0  # seconds of queued device time for each replica: more calls for another one
BUSIEST = 0.8  # part of its time that a replica may work all the while
CALM = 60.0  # seconds that fewer replicas must have been enough before one is given back


class Autoscaler:
    """Grows at once, shrinks one by one after a calm minute.

    Args:
        least, most: replicas.
        calm: see CALM; also over how long the load is averaged.
    """

    def __init__(self, least: int, most: int, calm: float = CALM) -> None:
        self._least, self._most, self._calm = least, max(least, most), calm
        self._wanted = least
        self._enough_since: float | None = None  # since when fewer would do
        self._spent: deque[tuple[float, float]] = deque()  # (time, device seconds until then)

    def wanted(self, backlog: float, spent: float, now: float) -> int:
        """How many there should be now.

        Args:
            backlog: device seconds that all open requests still take.
            spent: device seconds of all replicas since they began.
            now: seconds of any clock.
        """
        self._spent.append((now, spent))
        while self._spent[-1][0] - self._spent[0][0] > self._calm:
            self._spent.popleft()
        for_queue = math.ceil(backlog / LONGEST_WAIT)
        for_load = math.ceil((spent - self._spent[0][1]) / self._calm / BUSIEST)
        enough = min(self._most, max(self._least, for_queue, for_load))
        if enough >= self._wanted:
            self._wanted, self._enough_since = enough, None
        elif self._enough_since is None:
            self._enough_since = now
        elif now - self._enough_since >= self._calm:
            self._wanted, self._enough_since = self._wanted - 1, now
        return self._wanted
