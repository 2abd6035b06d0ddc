"""Classifiers, the judges of generated pictures. Knows no queue, no page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from genlab.engine.runner import (
    OneStepFamily,
    Outcome,
    split_rows,
)
from genlab.families.classifier.network import Classifier
from genlab.families.vae.runner import check_grey
from genlab.images import to_tensor
from genlab.requests import ClassifyRequest, Request

if TYPE_CHECKING:
    from genlab.engine import Job


class ClassifierFamily(OneStepFamily):
    """Serves `ClassifyRequest`; extras: `probs` (N, 10) and `features` (N, 128), float32."""

    name = "classifier"
    requests = (ClassifyRequest,)
    network_class = Classifier

    @classmethod
    def check_request(cls, request: Request, folder: Path) -> None:
        check_grey(request)

    def start(self, jobs: Sequence[Job]) -> list[Any]:
        states = []
        for job in jobs:
            assert isinstance(job.request, ClassifyRequest)
            states.append(to_tensor(job.request.images))  # (N, 1, 28, 28)
        return states

    def predict(self, jobs: Sequence[Job]) -> list[Any]:
        rows = self.runtime.call(self._judge, torch.cat([job.state for job in jobs]))
        return split_rows(rows, jobs)  # each (N, 10 + feature_dim)

    def finish(self, jobs: Sequence[Job]) -> list[Outcome]:
        outcomes = []
        for job in jobs:
            assert isinstance(job.request, ClassifyRequest)
            judged = job.state.cpu().numpy()
            extras = {"probs": judged[:, :10], "features": judged[:, 10:]}
            outcomes.append(Outcome(job.request.images, extras))
        return outcomes

    def _judge(self, images: torch.Tensor) -> torch.Tensor:
        """Probabilities and features side by side, (B, 10 + feature_dim), from one pass."""
        features = self.network.features(images)
        return torch.cat([self.network.head(features).softmax(dim=1), features], dim=1)
