"""One request on its way through the engine: what is remembered of it between steps."""

from __future__ import annotations

from dataclasses import dataclass, field
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
    step: int = 0
    total: int = 0
    started_at: float | None = None
    drawn: Result | None = None
    merge: Any = None  # of a FollowUp, once ``drawn`` is set
    announced: bool = field(default=False)  # whether its owner knows that the model is loading

    def goes_on_as(self, request: Request) -> None:
        """Begin anew with another request, at its first unit."""
        self.request, self.state, self.step, self.total = request, None, 0, 0
        self.announced = False

    @property
    def started(self) -> bool:
        """Whether its runner has given it a state."""
        return self.state is not None
