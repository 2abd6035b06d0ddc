"""Classifiers that read noised pictures, the ones guidance follows. Knows no queue, no page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from genlab.engine.runner import OneStepFamily, Outcome, generators, noise_rows, split_rows
from genlab.families.noisy_classifier.network import NoisyClassifier
from genlab.families.pixel_diffusion.network import build_scheduler
from genlab.families.vae.runner import check_grey
from genlab.images import to_tensor, to_uint8
from genlab.requests import NoisyClassifyRequest, Request

if TYPE_CHECKING:
    from genlab.engine import Job


class NoisyClassifierFamily(OneStepFamily):
    """Serves `NoisyClassifyRequest`; extras: `probs`, p(y | x_t, t), float32 (N, 10).

    The pictures of the result are the noised ones that it read.
    """

    name = "noisy_classifier"
    requests = (NoisyClassifyRequest,)
    network_class = NoisyClassifier

    @classmethod
    def check_request(cls, request: Request, folder: Path) -> None:
        check_grey(request)

    def start(self, jobs: Sequence[Job]) -> list[Any]:
        scheduler = build_scheduler()
        states = []
        for job in jobs:
            request = _request(job)
            x_0 = to_tensor(request.images)  # (N, 1, 28, 28)
            noise = noise_rows(generators(request), x_0.shape[1:])
            t = torch.full((len(x_0),), request.timestep)
            states.append((scheduler.add_noise(x_0, noise, t), t))  # type: ignore[arg-type]
        return states  # x_t and t of each job

    def predict(self, jobs: Sequence[Job]) -> list[Any]:
        x_t = torch.cat([job.state[0] for job in jobs])
        timesteps = torch.cat([job.state[1] for job in jobs])
        probs = self.runtime.call(lambda x, t: self.network(x, t).softmax(1), x_t, timesteps)
        return list(zip(split_rows(x_t, jobs), split_rows(probs, jobs), strict=True))

    def finish(self, jobs: Sequence[Job]) -> list[Outcome]:
        return [Outcome(to_uint8(x_t), {"probs": probs.cpu().numpy()}) for x_t, probs in
                (job.state for job in jobs)]  # fmt: skip


def _request(job: Job) -> NoisyClassifyRequest:
    assert isinstance(job.request, NoisyClassifyRequest)  # the catalogue has checked
    return job.request
