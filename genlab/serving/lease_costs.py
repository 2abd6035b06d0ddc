"""How many seconds of a GPU to ask for: by steps, pictures and measured speed. No torch.

The speeds before the first measurement are guesses, on the slow side: whoever asks for too little
loses the pictures, whoever asks for too much waits longer and needs more quota left.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping

from genlab.engine.events import Event, Progress, Result
from genlab.requests import Request

Work = tuple[tuple[int, Request], ...]
"""The requests of a lease, by their tickets' ids."""

SHORTEST, LONGEST = 10, 120  # seconds of one lease
START = 5.0  # seconds until a new process has its GPU
BYTES_PER_SECOND = 0.5e9  # of weights that are read from disk inside a lease, and hashed there
GUESS = 0.03  # seconds that a picture takes once through a network of a billion weights
MARGIN = 1.5  # a shared GPU is not always as fast
NEWEST = 0.5  # weight of a new measurement


def units(request: Request) -> int:
    """How often a picture goes through the network for this request."""
    count = getattr(request, "count", 1)
    steps = getattr(request, "num_inference_steps", 1)
    return count * steps * getattr(request, "calls_per_step", 1)


class LeaseCosts:
    """Seconds a unit by model, learned from each lease. Every method may be called by any thread.

    Args:
        parameters: of a model by its name; 0 if it is not known.
        loaded: names of the models whose weights are in memory before a lease begins.
    """

    def __init__(self, parameters: Callable[[str], int], loaded: Iterable[str] = ()) -> None:
        self._parameters = parameters
        self._loaded = frozenset(loaded)
        self._lock = threading.Lock()
        self._per_unit: dict[str, float] = {}

    def seconds(self, work: Work) -> float:
        """What the work will take, cautiously; may be more than a lease can last."""
        names = {request.checkpoint for _, request in work}
        fresh = sum(2 * self._parameters(name) for name in names - self._loaded)
        drawing = sum(units(request) * self._unit(request.checkpoint) for _, request in work)
        return START + fresh / BYTES_PER_SECOND + MARGIN * drawing

    def fits(self, work: Work) -> bool:
        """Whether one lease is enough."""
        return self.seconds(work) <= LONGEST

    def duration(self, work: Work) -> int:
        """The whole seconds to ask for."""
        return round(min(max(self.seconds(work), SHORTEST), LONGEST))

    def measured(self, name: str, done: int, seconds: float) -> None:
        """So many units of a model took so long."""
        if done > 0 and seconds > 0:
            with self._lock:
                old = self._per_unit.get(name, seconds / done)
                self._per_unit[name] = old + NEWEST * (seconds / done - old)

    def too_short(self, work: Work) -> None:
        """A lease ended before its work: ask for twice as much the next time."""
        for name in {request.checkpoint for _, request in work}:
            slower = 2 * self._unit(name)
            with self._lock:
                self._per_unit[name] = slower

    def _unit(self, name: str) -> float:
        with self._lock:
            known = self._per_unit.get(name)
        return known if known is not None else GUESS * max(self._parameters(name), 1e8) / 1e9


class Stopwatch:
    """Measures one lease by the events that come from it.

    Args:
        costs: gets what was measured.
        work: of the lease.
        clock: seconds.
    """

    def __init__(
        self, costs: LeaseCosts, work: Work, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._costs = costs
        self._requests: Mapping[int, Request] = dict(work)
        self._clock = clock
        self._done: dict[int, float] = {}
        self._first: tuple[float, float] | None = None  # moment, units done by then
        self._last: tuple[float, float] | None = None

    def saw(self, ticket_id: int, event: Event) -> None:
        """An event came."""
        request = self._requests.get(ticket_id)
        if request is None or not isinstance(event, (Progress, Result)):
            return
        share = event.step / event.total if isinstance(event, Progress) else 1.0
        self._done[ticket_id] = units(request) * share
        self._last = (self._clock(), sum(self._done.values()))
        self._first = self._first or self._last

    def stop(self) -> None:
        """The lease has ended; a lease of several models teaches nothing."""
        names = {request.checkpoint for request in self._requests.values()}
        if self._first is None or self._last is None or len(names) != 1:
            return
        seconds, done = self._last[0] - self._first[0], self._last[1] - self._first[1]
        self._costs.measured(names.pop(), round(done), seconds)
