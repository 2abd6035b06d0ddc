"""How many trainings may run at once, and for how long each. Knows no model, no page, no driver."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from genlab.requests import UserError


class TrainingTime:
    """The time that one training may take; it runs while somebody is in the ``with``.

    Entering raises UserError while as many others run as may. A paused training is outside, and
    takes nobody's place.
    """

    def __init__(self, slots: TrainingSlots) -> None:
        self._slots = slots
        self._spent = 0.0
        self._since: float | None = None  # when it was last entered; None: it is outside

    @property
    def spent(self) -> float:
        """Seconds that it has run."""
        running = 0.0 if self._since is None else self._slots.clock() - self._since
        return self._spent + running

    @property
    def left(self) -> float:
        """Seconds that it may still run; not below 0."""
        return max(0.0, self._slots.seconds - self.spent)

    def __enter__(self) -> Self:
        self._slots.enter(self)
        self._since = self._slots.clock()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._spent, self._since = self.spent, None
        self._slots.leave(self)


class TrainingSlots:
    """The places of trainings. Every method may be called from any thread.

    Args:
        most: how many may run at once.
        seconds: that each may run.
        clock: seconds that only grow.
    """

    def __init__(
        self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.most = most
        self.seconds = seconds
        self.clock = clock
        self._lock = threading.Lock()
        self._running: list[TrainingTime] = []

    def training(self) -> TrainingTime:
        """The time of a new training, to be entered whenever it runs."""
        return TrainingTime(self)

    def enter(self, training: TrainingTime) -> None:
        """Take a place; raises UserError with how long one has to wait if there is none."""
        with self._lock:
            if len(self._running) >= self.most:
                raise UserError(self._full())
            self._running.append(training)

    def leave(self, training: TrainingTime) -> None:
        """Give the place back."""
        with self._lock:
            self._running = [other for other in self._running if other is not training]

    def _full(self) -> str:
        if not self._running:
            return "This GenLab trains nothing live: GENLAB_TRAININGS is 0."
        count = len(self._running)
        wait = max(1, math.ceil(min(training.left for training in self._running)))
        seconds = f"{wait} second{'' if wait == 1 else 's'}"
        others = f"{count} trainings are" if count > 1 else "One training is"
        return f"{others} running, and no more may at once; a place is free in {seconds} at most."
