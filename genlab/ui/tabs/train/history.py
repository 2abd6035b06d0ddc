"""Losses of a whole training in a bounded number of points. Knows no page."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

MOST = 400  # points of a curve; then two become one


class LossCurve:
    """Means of so many steps each, which grow as the training gets longer.

    Attributes:
        width: steps of one point.
        points: their means.
        latest: the newest value; None before the first.
    """

    def __init__(self) -> None:
        self.width = 1
        self.points: list[float] = []
        self.latest: float | None = None
        self._pending: list[float] = []

    def add(self, values: np.ndarray) -> None:
        """Values of the steps that follow, one each."""
        for value in values.tolist():
            self._pending.append(value)
            if len(self._pending) == self.width:
                self.points.append(sum(self._pending) / self.width)
                self._pending.clear()
            if len(self.points) > MOST:
                pairs = zip(self.points[:-1:2], self.points[1::2], strict=True)
                self.points = [(a + b) / 2 for a, b in pairs]
                self.width *= 2
        if len(values):
            self.latest = float(values[-20:].mean())


class History:
    """The losses of a training by name, and what else there is one of for each step."""

    def __init__(self) -> None:
        self.curves: dict[str, LossCurve] = {}

    def add(self, losses: Mapping[str, np.ndarray]) -> None:
        """The losses of the steps that follow."""
        for name, values in losses.items():
            self.curves.setdefault(name, LossCurve()).add(values)
