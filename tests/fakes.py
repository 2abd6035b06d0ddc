"""A fake family and its source, to drive the engine without a network: counting is its 'model'."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from genlab.engine import Job
from genlab.engine.runner import Family, Outcome
from genlab.requests import StableDiffusionRequest, UserError


class Boom(Exception):
    """What a bad job raises."""


class CountingFamily(Family):
    """Each step adds one; the picture at the end holds the count.

    A prompt of "boom in <method>" raises in that method, "boom in predict at 2" at step 2 only.
    """

    name = "counting"
    requests = (StableDiffusionRequest,)

    def __init__(self) -> None:
        self.calls: list[list[int]] = []  # job ids of each predict
        self.previews = 0

    @classmethod
    def check(cls, folder: Path) -> None:
        return

    @classmethod
    def open(cls, folder: Path, runtime: Any, card: dict[str, Any]) -> Self:
        return cls()

    @property
    def nbytes(self) -> int:
        return 1

    def start(self, jobs: Sequence[Job]) -> list[int]:
        self._boom(jobs, "start")
        return [0 for _ in jobs]

    def total_steps(self, job: Job) -> int:
        return job.request.num_inference_steps

    def predict(self, jobs: Sequence[Job]) -> list[int]:
        self._boom(jobs, "predict")
        self.calls.append([job.id for job in jobs])
        return [1 for _ in jobs]

    def advance(self, job: Job, prediction: int) -> None:
        self._boom([job], "advance")
        job.state += prediction

    def preview(self, jobs: Sequence[Job]) -> list[np.ndarray]:
        self._boom(jobs, "preview")
        self.previews += len(jobs)
        return [picture(job.state) for job in jobs]

    def finish(self, jobs: Sequence[Job]) -> list[Outcome]:
        self._boom(jobs, "finish")
        return [Outcome(picture(job.state)) for job in jobs]

    def _boom(self, jobs: Sequence[Job], where: str) -> None:
        for job in jobs:
            if job.request.prompt in (f"boom in {where}", f"boom in {where} at {job.step}"):
                raise Boom(where)


class FakeModels:
    """Serves one CountingFamily for every name but "missing" and "damaged"."""

    def __init__(self) -> None:
        self.family = CountingFamily()
        self.memory_left = 3

    def check(self, request: Any) -> None:
        if request.checkpoint == "missing":
            raise UserError("There is no checkpoint called 'missing'.")

    def load(self, name: str) -> Family:
        if name == "damaged":
            raise UserError("The checkpoint damaged is damaged: it is cut short.")
        return self.family

    def has_room(self, name: str, begun: set[str]) -> bool:
        return True

    def shrink(self) -> bool:
        self.memory_left -= 1
        return self.memory_left > 0


class HungryFamily(CountingFamily):
    """Runs out of memory whenever it is asked for more than ``room`` jobs at once."""

    room = 0

    def predict(self, jobs: Sequence[Job]) -> list[int]:
        if self.room < len(jobs):
            self.room += 1
            raise torch.OutOfMemoryError
        return super().predict(jobs)


def picture(value: int) -> np.ndarray:
    """A 1 x 2 x 2 uint8 picture of one value."""
    return np.full((1, 2, 2), value, np.uint8)
