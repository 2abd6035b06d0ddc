"""Toybox's judge: reads nouns, colours and background off pictures. Knows no queue, no page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from genlab.engine.runner import OneStepFamily, Outcome, split_rows
from genlab.images import to_tensor
from genlab.requests import ReadRequest, Request, UserError
from genlab.toybox.judge.network import Reading, ToyboxJudge

if TYPE_CHECKING:
    from genlab.engine import Job


class ToyboxJudgeFamily(OneStepFamily):
    """Serves `ReadRequest` for pictures of one or of two objects, uint8 (N, 64, 64, 3).

    Extras, the most probable names: `nouns`, `colours` and `places`, for each picture as many as it
    has objects (the place of a single one is None), and `backgrounds`, one for each picture. Also
    `confidence`, the probability of the noun, of the less certain one of two, float32 (N,), and
    `features`, what the judge's last layer reads, float32 (N, D).
    """

    name = "judge"
    requests = (ReadRequest,)
    network_class = ToyboxJudge

    @classmethod
    def check_request(cls, request: Request, folder: Path) -> None:
        assert isinstance(request, ReadRequest)
        if request.images.shape[1:] != (64, 64, 3):
            shape = " x ".join(str(size) for size in request.images.shape[1:])
            raise UserError(f"{request.checkpoint} takes 64 x 64 x 3 pictures, not {shape}.")

    def start(self, jobs: Sequence[Job]) -> list[torch.Tensor]:
        return [to_tensor(_request(job).images) for job in jobs]  # (N, 3, 64, 64)

    def predict(self, jobs: Sequence[Job]) -> list[torch.Tensor]:
        objects = _request(jobs[0]).objects

        def read(pictures: torch.Tensor) -> torch.Tensor:
            columns = self.network.read(pictures, objects)
            return torch.cat([column.float().reshape(len(pictures), -1) for column in columns], 1)

        return split_rows(self.runtime.call(read, torch.cat([job.state for job in jobs])), jobs)

    def finish(self, jobs: Sequence[Job]) -> list[Outcome]:
        return [Outcome(_request(job).images, self._extras(job)) for job in jobs]

    def _extras(self, job: Job) -> dict[str, Any]:
        objects = _request(job).objects
        state = job.state.cpu()
        widths = [objects, objects, 1, 1, objects, state.shape[1] - 3 * objects - 2]
        numbers = state.split(widths, dim=1)  # the columns of a Reading
        nouns, colours, backgrounds, sideways = (n.long() for n in numbers[:4])
        confidence, features = numbers[4:]
        reading = Reading(
            nouns, colours, backgrounds[:, 0], sideways[:, 0] > 0, confidence, features
        )
        return self.network.named(reading) | {
            "confidence": confidence.amin(dim=1).numpy(),
            "features": features.numpy(),
        }


def _request(job: Job) -> ReadRequest:
    assert isinstance(job.request, ReadRequest)  # the catalogue has checked
    return job.request
