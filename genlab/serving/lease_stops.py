"""Which requests of a lease were stopped, told to its process while it draws.

`spaces` has no way to speak to a process that is at work, but memory that was mapped before the
fork is seen by both. No `spaces` and no ticket.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable

CELLS = 4096  # ids that lie so far apart share one: the earlier request is then drawn to its end


class SharedStops:
    """Ids of stopped requests, written by one process and read by its forked children.

    To be made before the first fork. A cell holds one id, which is written at once.
    """

    def __init__(self) -> None:
        self._cells = memoryview(mmap.mmap(-1, 8 * CELLS)).cast("q")

    def stop(self, ticket_id: int) -> None:
        """Whoever draws this request is to drop it."""
        self._cells[ticket_id % CELLS] = ticket_id

    def among(self, ticket_ids: Iterable[int]) -> list[int]:
        """Those of the requests that were stopped."""
        return [k for k in ticket_ids if self._cells[k % CELLS] == k]
