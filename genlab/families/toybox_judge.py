"""Toybox's judge: reads noun, colour and background off pictures. Knows no queue, no page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from genlab.families.base import (
    OneStepFamily,
    Outcome,
    split_rows,
)
from genlab.images import to_tensor
from genlab.networks.toybox_judge import ToyboxJudge, Verdict
from genlab.requests import ClassifyRequest, Request, UserError

if TYPE_CHECKING:
    from genlab.engine import Job


class ToyboxJudgeFamily(OneStepFamily):
    """Serves `ClassifyRequest` for pictures of one object, uint8 (N, 64, 64, 3).

    Extras: `nouns`, `colours` and `backgrounds`, each the N most probable names, and `confidence`,
    the probability of each picture's noun, float32 (N,).
    """

    name = "judge"
    requests = (ClassifyRequest,)
    network_class = ToyboxJudge

    @classmethod
    def check_request(cls, request: Request, folder: Path) -> None:
        assert isinstance(request, ClassifyRequest)
        if request.images.shape[1:] != (64, 64, 3):
            shape = " x ".join(str(size) for size in request.images.shape[1:])
            raise UserError(f"{request.checkpoint} takes 64 x 64 x 3 pictures, not {shape}.")

    def start(self, jobs: Sequence[Job]) -> list[torch.Tensor]:
        return [to_tensor(_request(job).images) for job in jobs]  # (N, 3, 64, 64)

    def predict(self, jobs: Sequence[Job]) -> list[torch.Tensor]:
        rows = self.runtime.call(self._choices, torch.cat([job.state for job in jobs]))
        return split_rows(rows, jobs)  # each (N, 4): noun, colour, background, confidence

    def finish(self, jobs: Sequence[Job]) -> list[Outcome]:
        names = (self.network.nouns, self.network.colours, self.network.backgrounds)
        outcomes = []
        for job in jobs:
            *choices, confidence = job.state.T.cpu()
            said = [[known[int(k)] for k in ks] for known, ks in zip(names, choices, strict=True)]
            extras: dict[str, Any] = dict(zip(Verdict._fields, said, strict=True))
            extras["confidence"] = confidence.numpy()
            outcomes.append(Outcome(_request(job).images, extras))
        return outcomes

    def _choices(self, pictures: torch.Tensor) -> torch.Tensor:
        """Most probable noun, colour and background, and the noun's probability, (B, 4)."""
        verdict = self.network(pictures)
        choices = [logits.argmax(dim=1).float() for logits in verdict]
        confidence = verdict.nouns.softmax(dim=1).amax(dim=1)
        return torch.stack([*choices, confidence], dim=1)


def _request(job: Job) -> ClassifyRequest:
    assert isinstance(job.request, ClassifyRequest)  # the catalogue has checked
    return job.request
