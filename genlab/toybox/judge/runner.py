"""Toybox's judge: reads nouns, colours and background off pictures. Knows no queue, no page."""

from __future__ import annotations

import torch
from torch import Tensor

from genlab.engine.events import Result
from genlab.engine.tensors import to_tensor
from genlab.families.one_step import OneStepRunner
from genlab.toybox.judge.network import ScenePrediction, ToyboxJudge
from genlab.toybox.judge.request import ReadRequest


class ToyboxJudgeRunner(OneStepRunner):
    """Serves `ReadRequest` for pictures of one or of two objects, uint8 (N, 64, 64, 3).

    Extras, the most probable names: `nouns`, `colours` and `places`, for each picture as many as it
    has objects (the place of a single one is None), and `backgrounds`, one for each picture. Also
    `confidence`, the probability of the noun, of the less certain one of two, float32 (N,), and
    `features`, what the judge's last layer reads, float32 (N, K * D) for K objects.

    The pictures of the result are those that it was given.
    """

    network_class = ToyboxJudge

    def batch_key(self, request: ReadRequest) -> tuple[str, ...]:
        return (*super().batch_key(request), str(request.objects))

    def inputs(self, request: ReadRequest, part: slice) -> tuple[Tensor, ...]:
        return (to_tensor(request.images[part]),)  # (B, 3, 64, 64)

    def outputs(self, request: ReadRequest, *rows: Tensor) -> dict[str, Tensor]:
        def columns(pictures: Tensor) -> Tensor:
            """A ScenePrediction's columns side by side, as a call returns one tensor."""
            prediction = self.network.read(pictures, request.objects)
            return torch.cat(
                [part.float().reshape(len(pictures), -1) for part in prediction], dim=1
            )

        side_by_side = self.device.call(columns, *rows)  # (B, 3 * K + 2 + K * D)
        objects = request.objects
        widths = [objects, objects, 1, 1, objects]
        widths.append(side_by_side.shape[1] - sum(widths))
        return dict(zip(ScenePrediction._fields, side_by_side.split(widths, dim=1), strict=True))

    def report(self, request: ReadRequest, outputs: dict[str, Tensor]) -> Result:
        prediction = ScenePrediction(
            nouns=outputs["nouns"].long(),
            colours=outputs["colours"].long(),
            backgrounds=outputs["backgrounds"][:, 0].long(),
            side_by_side=outputs["side_by_side"][:, 0] > 0,
            confidence=outputs["confidence"],
            features=outputs["features"],
        )
        extras = self.network.named(prediction) | {
            "confidence": prediction.confidence.amin(dim=1).numpy(),
            "features": prediction.features.numpy(),
        }
        return Result(request.images, extras)
