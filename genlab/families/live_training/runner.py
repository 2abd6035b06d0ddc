"""Trains live: a bounded number of optimizer steps a unit of the engine's work. Knows no page."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from genlab.engine.device import Device
from genlab.engine.events import Result
from genlab.engine.job import Job
from genlab.engine.runner import Runner
from genlab.engine.tensors import to_uint8
from genlab.families.description import Find
from genlab.families.live_training.data import clusters_drawn, load_digits, ring
from genlab.families.live_training.loops import Moment, gan_loop, vae_loop
from genlab.families.live_training.request import PHASES, TrainRequest
from genlab.families.live_training.training import Training
from genlab.families.live_training.watch import Watcher
from genlab.formats.metadata import ModelMetadata

DIGITS, POINTS = 64, 512  # samples shown
FIELD, REACH = 40, 3.2  # cells a side of the discriminator's map, and how far it goes


class LiveTrainingRunner(Runner):
    """Serves `TrainRequest`; nothing of a training stays here between two requests.

    The result's images are samples from z that depend on the seed alone, none for points. Extras:

    - ``state``: bytes to go on from, empty once a loss is no finite number; ``step``;
    - ``losses``: float32 arrays by name, one value a step;
    - ``shares``: how the time went to the six steps, float32 (6,);
    - ``watched``: (number of the step, network, words) of each, if that was asked for;
    - ``examples``: how many digits it learns from;
    - of points: ``points`` and ``real``, float32 (512, 2), and ``clusters``, how many are drawn;
    - of a GAN of points: ``field``, uint8 (40, 40), how real the discriminator holds each place of
      the plane, the top row first.
    """

    def __init__(self, digits: Tensor, device: Device) -> None:
        super().__init__(device)
        self._digits = digits

    @classmethod
    def open(cls, metadata: ModelMetadata, device: Device, find: Find) -> Self:
        """Read the data."""
        return cls(load_digits(), device)

    @property
    def nbytes(self) -> int:
        return self._digits.nbytes

    def batch_key(self, request: TrainRequest) -> tuple[str, ...]:
        return (*super().batch_key(request), request.run)  # no two share a step

    def rows(self, request: TrainRequest) -> int:
        return 1

    def start(self, jobs: Sequence[Job]) -> list[_Stretch]:
        return [_Stretch(job.request, self._digits, self.device.torch) for job in jobs]

    def total_steps(self, job: Job) -> int:
        return math.ceil(job.request.steps / job.state.unit)

    def predict(self, jobs: Sequence[Job]) -> list[None]:
        """The next few optimizer steps; repeated after an error, it takes those that are left."""
        return [job.state.go_on((job.step + 1) * job.state.unit) for job in jobs]

    def advance(self, job: Job, prediction: None) -> None:
        """The weights have moved already."""

    def undecoded(self, job: Job) -> int:
        return int(job.state.extras is None)

    def decode(self, jobs: Sequence[Job]) -> list[tuple[np.ndarray, dict[str, Any]]]:
        """Samples from fixed z, and the state to go on from."""
        return [job.state.drawn() for job in jobs]

    def store(self, job: Job, decoded: tuple[np.ndarray, dict[str, Any]]) -> None:
        job.state.images, job.state.extras = decoded

    def result(self, job: Job) -> Result:
        stretch: _Stretch = job.state
        extras = {**(stretch.extras or {}), "examples": len(self._digits)}
        return Result(stretch.images, extras, stretch.notes)


class _Stretch:
    """The steps of one request."""

    def __init__(self, request: TrainRequest, digits: Tensor, device: torch.device) -> None:
        self.images = np.zeros((0, 28, 28), np.uint8)
        self.extras: dict[str, Any] | None = None
        self.notes: tuple[str, ...] = ()
        self._request = request
        self._training = Training(request, digits, device)
        self._first = self._training.step
        self._losses: dict[str, list[Tensor]] = {}
        self._seconds = [0.0] * len(PHASES)
        self._watched: list[tuple[int, str, str]] = []
        parts = self._training.trained_parts()
        self._watcher = Watcher(parts) if request.watch else None

    @property
    def unit(self) -> int:
        """Steps in one unit of work."""
        return self._training.subject.unit

    def go_on(self, steps: int) -> None:
        """Take steps until so many of this request's are done."""
        training = self._training
        loop = vae_loop if training.subject.family == "vae" else gan_loop
        if self.notes:
            return
        began = time.perf_counter()
        for moment in loop(training, self._first + min(steps, self._request.steps)):
            self._seconds[moment.phase - 1] += time.perf_counter() - began
            self._note(moment)
            began = time.perf_counter()
        self._check()

    def drawn(self) -> tuple[np.ndarray, dict[str, Any]]:
        """Samples, and all that the result says of these steps."""
        training, request = self._training, self._request
        diverged = bool(self.notes)
        total = sum(self._seconds) or 1.0
        extras: dict[str, Any] = {
            "state": b"" if diverged else training.state(),
            "step": training.step,
            "losses": {k: _values(v) for k, v in self._losses.items()},
            "shares": np.array(self._seconds, np.float32) / total,
            "watched": tuple(self._watched),
        }
        if diverged:
            return self.images, extras
        fixed = torch.Generator().manual_seed(request.seed)
        points = training.subject.data == "points"
        shape = (POINTS if points else DIGITS, request.latent_dim)
        z = torch.randn(shape, generator=fixed, dtype=torch.float32)
        samples = training.samples(z)
        if not points:
            return to_uint8(samples), extras
        extras |= {
            "points": samples.numpy(),
            "real": ring(POINTS, fixed).numpy(),
            "clusters": clusters_drawn(samples),
        }
        if training.subject.family == "gan":
            extras["field"] = _field(training)
        return self.images, extras

    def _note(self, moment: Moment) -> None:
        """Keep the losses, and words on the step if it is watched."""
        if moment.phase == 4:
            for name, value in moment.values.items():
                self._losses.setdefault(name, []).append(value.detach())
        if self._watcher is not None:
            words = self._watcher.see(moment.phase, moment.part, moment.values)
            self._watched.append((moment.phase, moment.part, words))

    def _check(self) -> None:
        """Say so if a loss is no number any more."""
        for name, values in self._losses.items():
            finite = np.isfinite(_values(values))
            if not finite.all():
                step = self._first + int(np.argmin(finite)) + 1
                what = "loss" if name == "loss" else f"{name} loss"
                self.notes = (
                    f"The {what} was no finite number at step {step:,}: the training has "
                    "diverged. A smaller learning rate keeps it finite.",
                )
                return


def _values(losses: Sequence[Tensor]) -> np.ndarray:
    return torch.stack(list(losses)).float().cpu().numpy()


@torch.no_grad()
def _field(training: Training) -> np.ndarray:
    """How real the discriminator holds each place of the plane, uint8 (40, 40), top row first."""
    line = torch.linspace(-REACH, REACH, FIELD, dtype=torch.float32)
    y, x = torch.meshgrid(line.flip(0), line, indexing="ij")
    places = torch.stack([x, y], dim=-1).reshape(-1, 2).to(training.device)
    real = training.network.discriminator(places).sigmoid()
    return (255 * real).round().to(torch.uint8).reshape(FIELD, FIELD).cpu().numpy()
