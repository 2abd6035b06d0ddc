"""What a unit of work of one model takes, learned by measuring. Knows no model and no clock."""

from __future__ import annotations

UNIT_SECONDS = 0.25
"""About how long a unit may take: whoever comes waits for one at most."""
FIRST_ROWS = 16
"""Rows of a unit before anything was measured; and on a machine that is busy with other things, as
long as they take no more than SLOW_UNIT: smaller calls would only waste more of it."""
SLOW_UNIT = 1.0  # seconds
SLOWER, FASTER = 0.2, 0.5  # weights of a new measurement: a first call's warm-up fades quickly


class UnitCost:
    """Seconds by rows of one kind of unit, and how many rows it may have.

    Rows are counted in powers of two; each has the seconds a row that were measured there.

    Attributes:
        units: that were measured; ``rows`` in all of them, and ``device_seconds``.
    """

    def __init__(self, longest: float = UNIT_SECONDS) -> None:
        self._longest = longest
        self._per_row: dict[int, float] = {}  # by rows rounded up to a power of two
        self.units = 0
        self.rows = 0
        self.device_seconds = 0.0

    def measured(self, rows: int, seconds: float) -> None:
        """A unit of so many rows took so long."""
        size, new = _power_of_two(rows), seconds / max(1, rows)
        old = self._per_row.get(size, new)
        self.units += 1
        self.rows += rows
        self.device_seconds += seconds
        self._per_row[size] = old + (SLOWER if new > old else FASTER) * (new - old)

    def seconds(self, rows: int) -> float:
        """What a unit of so many rows takes, by what was measured; ``rows`` if nothing was.

        A row is taken to cost no more in a larger unit than in a smaller one, so that one slow
        call is not remembered for ever. Without any measurement only the ratio of two answers
        means something.
        """
        if not self._per_row:
            return float(rows)
        size = _power_of_two(rows)
        smaller = [cost for own, cost in self._per_row.items() if own <= size]
        return rows * (min(smaller) if smaller else self._per_row[min(self._per_row)])

    def row_limit(self) -> int:
        """Most rows of a unit: as many as fit into its time, at most twice those ever tried."""
        if not self._per_row:
            return FIRST_ROWS
        sizes = [*self._per_row, 2 * max(self._per_row)]
        fitting = max((size for size in sizes if self.seconds(size) <= self._longest), default=1)
        return max(fitting, FIRST_ROWS if self.seconds(FIRST_ROWS) <= SLOW_UNIT else 1)


def _power_of_two(rows: int) -> int:
    return 1 << max(0, rows - 1).bit_length()
