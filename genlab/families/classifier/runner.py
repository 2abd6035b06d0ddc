"""Classifiers, the judges of generated pictures. Knows no queue, no page."""

from __future__ import annotations

import torch
from torch import Tensor

from genlab.engine.events import Result
from genlab.engine.tensors import to_tensor
from genlab.families.classifier.network import Classifier
from genlab.families.classifier.request import ClassifyRequest
from genlab.families.one_step import OneStepRunner


class ClassifierRunner(OneStepRunner):
    """Serves `ClassifyRequest`; extras: `probs` (N, 10) and `features` (N, feature_dim), float32.

    The pictures of the result are those that it was given.
    """

    network_class = Classifier

    def inputs(self, request: ClassifyRequest, part: slice) -> tuple[Tensor, ...]:
        return (to_tensor(request.images[part]),)  # (N, 1, 28, 28)

    def outputs(self, request: ClassifyRequest, *rows: Tensor) -> dict[str, Tensor]:
        both = self.device.call(self._probs_and_features, *rows)  # (B, 10 + feature_dim)
        return {"probs": both[:, :10], "features": both[:, 10:]}

    def report(self, request: ClassifyRequest, outputs: dict[str, Tensor]) -> Result:
        return Result(request.images, {name: value.numpy() for name, value in outputs.items()})

    def _probs_and_features(self, images: Tensor) -> Tensor:
        """Side by side, from one pass."""
        features = self.network.features(images)
        return torch.cat([self.network.head(features).softmax(dim=1), features], dim=1)
