"""A fake runner and its source, to drive the engine without a network: counting is its 'model'."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import torch

from genlab.engine.core import Core
from genlab.engine.device import Device
from genlab.engine.events import Event, Result
from genlab.engine.job import Job
from genlab.engine.runner import Runner
from genlab.requests import Request, SampleRequest, UserError, parse_request


class Boom(Exception):
    """What a bad job raises."""


class CountingRequest(SampleRequest):
    """Counts up to ``num_inference_steps``; the prompt may say where to fail."""

    prompt: str = ""
    negative_prompt: str = ""  # the prompt of the question to a judge
    num_inference_steps: int = 3
    preview_every: int = 0


class Clock:
    """Seconds that pass only when somebody says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class CountingRunner(Runner):
    """Each step adds one; the picture at the end holds the count.

    A prompt of "boom in <method>" raises in that method, "boom in predict at 2" at step 2 only;
    what it raises is ``error``. A call over n rows lets ``seconds(n)`` pass on the clock.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        seconds: Callable[[int], float] = lambda rows: 0.0,
        error: BaseException | None = None,
    ) -> None:
        super().__init__(Device("cpu", graphs=False))
        self.fingerprint = "of what was loaded"
        self.calls: list[list[int]] = []  # job ids of each predict
        self.decodes: list[list[int]] = []
        self.previews = 0
        self.preview_seconds = 0.0
        self.chunks = 0  # that a job has to be decoded in
        self._clock = clock or Clock()
        self._seconds = seconds
        self._error = error or Boom("on purpose")

    @property
    def nbytes(self) -> int:
        return 1

    def batch_key(self, request: Request) -> tuple[str, ...]:
        self._raise(request, "batch_key")
        return super().batch_key(request)

    def rows(self, request: Any) -> int:
        self._raise(request, "rows")
        return request.count

    def start(self, jobs: Sequence[Job]) -> list[Any]:
        self._boom(jobs, "start")
        return [{"count": 0, "chunks": self.chunks} for _ in jobs]

    def total_steps(self, job: Job) -> int:
        self._boom([job], "total_steps")
        return job.request.num_inference_steps

    def predict(self, jobs: Sequence[Job]) -> list[int]:
        self._boom(jobs, "predict")
        self.calls.append([job.id for job in jobs])
        self._clock.now += self._seconds(sum(job.request.count for job in jobs))
        return [1 for _ in jobs]

    def advance(self, job: Job, prediction: int) -> None:
        self._boom([job], "advance")
        job.state["count"] += prediction

    def undecoded(self, job: Job) -> int:
        self._boom([job], "undecoded")
        return job.state["chunks"]

    def decode(self, jobs: Sequence[Job]) -> list[int]:
        self._boom(jobs, "decode")
        self.decodes.append([job.id for job in jobs])
        return [1 for _ in jobs]

    def store(self, job: Job, decoded: int) -> None:
        self._boom([job], "store")
        job.state["chunks"] -= decoded

    def preview(self, jobs: Sequence[Job]) -> list[np.ndarray | None]:
        self._boom(jobs, "preview")
        self.previews += len(jobs)
        self._clock.now += self.preview_seconds * len(jobs)
        return [picture(job.state["count"]) for job in jobs]

    def result(self, job: Job) -> Result:
        self._boom([job], "result")
        return Result(picture(job.state["count"]))

    def _boom(self, jobs: Sequence[Job], where: str) -> None:
        for job in jobs:
            self._raise(job.request, where, f"{where} at {job.step}")

    def _raise(self, request: Any, *places: str) -> None:
        if request.prompt in [f"boom in {place}" for place in places]:
            raise self._error


class FakeModels:
    """Serves one CountingRunner for every name but "damaged"; "slow" loads until it is let go."""

    def __init__(self, runner: Runner | None = None) -> None:
        self.runner: Any = runner or CountingRunner()
        self.runners: dict[str, Runner] = {}  # for other names
        self.loading: set[str] = {"slow"}
        self.without_room: set[str] = set()

    def get(self, name: str, in_use: Collection[str]) -> Any:
        if name == "damaged":
            raise UserError("The checkpoint damaged is damaged: it is cut short.")
        if name in self.loading:
            return "loading"
        if name in self.without_room and set(in_use) - {name}:
            return "no room"
        return self.runners.get(name, self.runner)

    def title(self, name: str) -> str:
        return name.title()


class FakeRegistry:
    """Lets every request pass but those for "missing"."""

    bytes_per_weight = 4

    def check(self, request: Request) -> None:
        if request.checkpoint == "missing":
            raise UserError("There is no checkpoint called 'missing'.")


class HungryRunner(CountingRunner):
    """Runs out of memory whenever it is asked for more than ``room`` rows in a call."""

    room = 0

    def predict(self, jobs: Sequence[Job]) -> list[int]:
        if min(self.device.max_rows, sum(job.request.count for job in jobs)) > self.room:
            raise torch.OutOfMemoryError
        return super().predict(jobs)


def request_of(steps: int = 3, prompt: str = "", **more: object) -> CountingRequest:
    """A request that a CountingRunner serves; one row unless ``count`` says otherwise."""
    values = {"checkpoint": "counting", "count": 1} | more
    return parse_request(CountingRequest, prompt=prompt, num_inference_steps=steps, **values)


def run_until_idle(core: Core) -> dict[int, list[Event]]:
    """Step until nothing is left to do; every event by job."""
    events: dict[int, list[Event]] = {}
    for _ in range(5000):
        if core.idle:
            return events
        for job_id, event in core.step():
            events.setdefault(job_id, []).append(event)
    raise AssertionError("the core never came to rest")


def picture(value: int) -> np.ndarray:
    """A 1 x 2 x 2 uint8 picture of one value."""
    return np.full((1, 2, 2), value, np.uint8)
