"""One request on its way through the engine: what is remembered of it between steps."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from genlab.engine.events import Result
from genlab.requests import Request

JobId = int


@dataclass(eq=False)
class Job:
    """A request of one owner. The engine moves it; ``state`` is its runner's own.

    ``step`` counts the steps taken of ``total``. ``drawn`` is the finished result while the job
    goes on with another request, the question to a judge.
    """

    id: JobId
    request: Any  # a Request; each runner knows which of its kinds
    owner: str
    added_at: float
    state: Any = None
    started: bool = False  # whether its runner has given it a state
    started_at: float | None = None
    step: int = 0
    total: int = 0
    batch_key: tuple[str, ...] = ()  # jobs with equal ones may share a network call
    rows: int = 1  # that it adds to one
    previews: int = 0  # that its owner was shown
    announced: bool = False  # whether its owner has heard that the model is being loaded
    drawn: Result | None = None
    merge: Callable[[Result, Result | None], Any] | None = None  # of a `FollowUp`
    once: Hashable = None  # of a `FollowUp`: what it does for others too
    parked: bool = False  # whether another job does it, and this one waits

    def goes_on_as(self, request: Request, merge: Callable[[Result, Result | None], Any]) -> None:
        """Begin anew with another request, whose result ``merge`` adds to what is drawn."""
        self.request, self.merge = request, merge
        self.state, self.started, self.step, self.total = None, False, 0, 0
        self.batch_key, self.announced = (), False
