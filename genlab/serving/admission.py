"""Who may ask for more: one place for all drivers. Knows no model and no thread of its own."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable

from genlab.requests import UserError

RECENT = 64  # requests that have ended, by which a wait is estimated
RECENT_SECONDS = 120.0  # older ones say nothing of what is done now


class Admission:
    """Counts what is inside, in all and by owner. Every method may be called from any thread.

    Args:
        max_jobs: most requests waiting or running; more are refused with a sentence.
        max_jobs_per_owner: the same for one owner.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        max_jobs: int = 256,
        max_jobs_per_owner: int = 64,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_jobs = max_jobs
        self.max_jobs_per_owner = max_jobs_per_owner
        self._clock = clock
        self._lock = threading.Lock()
        self._by_owner: Counter[str] = Counter()
        self._ended: deque[float] = deque(maxlen=RECENT)  # when requests were served
        self._busy_since = clock()  # since when there was always somebody inside

    def enter(self, owner: str) -> None:
        """Count one more; raises UserError if the house, or this owner's share, is full."""
        with self._lock:
            inside = self._by_owner.total()
            if inside >= self.max_jobs:
                raise UserError(
                    f"The queue is full: {inside} request{'s are' if inside > 1 else ' is'} "
                    f"waiting{self._work(inside)}. Please try again in a moment."
                )
            if self._by_owner[owner] >= self.max_jobs_per_owner:
                raise UserError(
                    f"You already have {self.max_jobs_per_owner} requests waiting"
                    f"{self._work(inside)}; let some finish or stop them first."
                )
            if not inside:
                self._busy_since = self._clock()
            self._by_owner[owner] += 1

    def leave(self, owner: str, served: bool = False) -> None:
        """One of this owner's has ended; ``served`` if it got its result."""
        with self._lock:
            self._by_owner[owner] -= 1
            if self._by_owner[owner] <= 0:
                del self._by_owner[owner]
            if served:
                self._ended.append(self._clock())

    def wait_seconds(self) -> float | None:
        """How long those inside will take, by how fast others were served; None if none was."""
        with self._lock:
            return self._wait(self._by_owner.total())

    def _wait(self, inside: int) -> float | None:
        now = self._clock()
        begun = max(self._busy_since, now - RECENT_SECONDS)
        recent = [ended for ended in self._ended if ended >= begun]
        if len(recent) == RECENT:  # there were more than are remembered
            begun, recent = recent[0], recent[1:]
        if not recent or now <= begun:
            return None
        return inside * (now - begun) / len(recent)

    def _work(self, inside: int) -> str:
        seconds = self._wait(inside)
        return "" if seconds is None else f", which takes about {_duration(seconds)}"


def _duration(seconds: float) -> str:
    """Roughly, in words."""
    if seconds < 90:
        whole = max(1, round(seconds) if seconds < 10 else 5 * round(seconds / 5))
        return f"{whole} second{'' if whole == 1 else 's'}"
    return f"{round(seconds / 60)} minutes"
