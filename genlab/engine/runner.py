"""What the engine asks of a loaded model. Knows no thread, no queue, no page, no file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from genlab.engine.device import Device
from genlab.engine.events import Result
from genlab.engine.job import Job
from genlab.requests import MAX_SEED, Request


class Runner(ABC):
    """One loaded model, on one device.

    A job's life in units of bounded work: ``start`` once, then ``predict`` and ``advance`` for each
    of its ``total_steps``, then ``decode`` and ``store`` while anything is ``undecoded``, then
    ``result``. What takes a list of jobs runs a network once for all of them and changes nothing:
    so when a call fails, the engine repeats it job by job and only the culprit gets the error.
    ``advance``, ``store`` and ``result`` call no network and touch their one job alone.
    """

    exclusive: ClassVar[bool] = False
    """Whether its jobs are served one after another: no other begins before one has ended."""

    fingerprint: str = ""
    """The sha256 of the weights in memory; set by who loaded them."""

    def __init__(self, device: Device) -> None:
        self.device = device

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Memory that the weights take, in bytes."""

    def fingerprint_of(self, request: Any) -> str:
        """The same of all the weights that draw a request, where it adds some of its own."""
        return self.fingerprint

    def batch_key(self, request: Request) -> tuple[str, ...]:
        """Requests with equal keys may share one network call."""
        return (type(request).__name__,)

    def rows(self, request: Any) -> int:
        """How many rows a request adds to the network call of a step."""
        return request.count

    @abstractmethod
    def start(self, jobs: Sequence[Job]) -> list[Any]:
        """The first state of each job: its noise, its encoded prompt, its scheduler."""

    def total_steps(self, job: Job) -> int:
        """How many times a started job has to be advanced."""
        return 1

    @abstractmethod
    def predict(self, jobs: Sequence[Job]) -> list[Any]:
        """ONE network call for all jobs; what it says for each of them."""

    @abstractmethod
    def advance(self, job: Job, prediction: Any) -> None:
        """Move one job's state one step on."""

    def undecoded(self, job: Job) -> int:
        """How many pictures of a job that has taken its steps are still to be decoded."""
        return 0

    def decode(self, jobs: Sequence[Job]) -> list[Any]:
        """ONE call that decodes the next few pictures of each job; what came of it."""
        raise NotImplementedError(f"{type(self).__name__} decodes nothing")

    def store(self, job: Job, decoded: Any) -> None:
        """Keep what ``decode`` gave for a job."""
        raise NotImplementedError(f"{type(self).__name__} decodes nothing")

    def preview(self, jobs: Sequence[Job]) -> list[np.ndarray | None]:
        """What each job looks like by now, uint8 (N, H, W[, 3]); None if that cannot be said."""
        return [None for _ in jobs]

    @abstractmethod
    def result(self, job: Job) -> Result:
        """The pictures of a job that has nothing left to do; the engine adds the times."""


def generators(request: Any, part: slice = slice(None)) -> list[torch.Generator]:
    """One CPU generator an image, seeded ``seed + k``: image k never depends on its batchmates.

    Args:
        request: has ``seed`` and ``count``.
        part: of which images; all of them unless told.
    """
    seeds = [(request.seed + k) % (MAX_SEED + 1) for k in range(request.count)[part]]
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def noise_rows(owned: Sequence[torch.Generator], shape: Sequence[int]) -> torch.Tensor:
    """Standard normal rows (len(owned), *shape), row k from generator k, fp32 on the CPU."""
    rows = [torch.randn(tuple(shape), generator=g, dtype=torch.float32) for g in owned]
    return torch.stack(rows)


def parameter_bytes(*modules: torch.nn.Module) -> int:
    """Bytes of all parameters and buffers."""
    tensors = (t for m in modules for t in (*m.parameters(), *m.buffers()))
    return sum(t.numel() * t.element_size() for t in tensors)
