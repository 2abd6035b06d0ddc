"""Who may ask for more: one place for all drivers. Knows no model and no thread of its own."""

from __future__ import annotations

import threading
from collections import Counter

from genlab.requests import UserError


class Admission:
    """Counts what is inside, in all and by owner. Every method may be called from any thread.

    Args:
        max_jobs: most requests waiting or running; more are refused with a sentence.
        max_jobs_per_owner: the same for one owner.
    """

    def __init__(self, max_jobs: int = 256, max_jobs_per_owner: int = 64) -> None:
        self.max_jobs = max_jobs
        self.max_jobs_per_owner = max_jobs_per_owner
        self._lock = threading.Lock()
        self._by_owner: Counter[str] = Counter()

    def enter(self, owner: str) -> None:
        """Count one more; raises UserError if the house, or this owner's share, is full."""
        with self._lock:
            if self._by_owner.total() >= self.max_jobs:
                raise UserError(
                    f"The queue is full: {self.max_jobs} requests are waiting. "
                    "Please try again in a moment."
                )
            if self._by_owner[owner] >= self.max_jobs_per_owner:
                raise UserError(
                    f"You already have {self.max_jobs_per_owner} requests waiting; "
                    "let some finish or stop them first."
                )
            self._by_owner[owner] += 1

    def leave(self, owner: str) -> None:
        """One of this owner's has ended."""
        with self._lock:
            self._by_owner[owner] -= 1
            if self._by_owner[owner] <= 0:
                del self._by_owner[owner]
