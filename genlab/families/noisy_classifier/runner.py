"""Classifiers that read noised pictures, the ones guidance follows. Knows no queue, no page."""

from __future__ import annotations

import torch
from torch import Tensor

from genlab.engine.device import Device
from genlab.engine.events import Result
from genlab.engine.runner import generators, noise_rows
from genlab.engine.tensors import to_tensor, to_uint8
from genlab.families.noisy_classifier.network import NoisyClassifier
from genlab.families.noisy_classifier.request import NoisyClassifyRequest
from genlab.families.one_step import OneStepRunner
from genlab.families.pixel_diffusion.network import build_scheduler


class NoisyClassifierRunner(OneStepRunner):
    """Serves `NoisyClassifyRequest`; extras: `probs`, p(y | x_t, t), float32 (N, 10).

    The pictures of the result are the noised ones that it read.
    """

    network_class = NoisyClassifier

    def __init__(self, network: NoisyClassifier, device: Device) -> None:
        super().__init__(network, device)
        self._scheduler = build_scheduler()

    def inputs(self, request: NoisyClassifyRequest, part: slice) -> tuple[Tensor, ...]:
        x_0 = to_tensor(request.images[part])  # (N, 1, 28, 28)
        noise = noise_rows(generators(request, part), x_0.shape[1:])
        t = torch.full((len(x_0),), request.timestep)
        return self._scheduler.add_noise(x_0, noise, t), t  # type: ignore[arg-type]

    def outputs(self, request: NoisyClassifyRequest, *rows: Tensor) -> dict[str, Tensor]:
        x_t, timesteps = rows
        probs = self.device.call(lambda x, t: self.network(x, t).softmax(1), x_t, timesteps)
        return {"x_t": x_t, "probs": probs}

    def report(self, request: NoisyClassifyRequest, outputs: dict[str, Tensor]) -> Result:
        return Result(to_uint8(outputs["x_t"]), {"probs": outputs["probs"].numpy()})
