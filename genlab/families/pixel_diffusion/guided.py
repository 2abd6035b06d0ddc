"""One step's predictions, the guidance that combines them, and what a trajectory shows of them.

Knows no network and no queue.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genlab.diffusion import guidance
from genlab.diffusion.schedulers import alpha_bar, is_flow, predicted_clean
from genlab.engine.tensors import to_uint8
from genlab.families.pixel_diffusion.request import PixelDiffusionRequest


@dataclass(frozen=True)
class Prediction:
    """What the networks say about a job's x_t; None where the job has no use for it."""

    uncond: Tensor | None = None  # eps_u, (count, 1, H, W)
    cond: Tensor | None = None  # eps_c, likewise
    gradient: Tensor | None = None  # grad_{x_t} log p(y | x_t, t), likewise
    log_prob: Tensor | None = None  # log p(y | x_t, t), (count,)


def all_finite(*tensors: Tensor | None) -> Tensor:
    """Whether all numbers are finite, a 0-d bool: nobody waits for the device before it is read."""
    return torch.stack([torch.isfinite(t).all() for t in tensors if t is not None]).all()


def model_input(scheduler: Any, x_t: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """What the UNet sees: x_t in its scale, (B, 1, H, W), and its timesteps, (B,), on the CPU."""
    t = scheduler.timesteps[step]
    if not is_flow(scheduler):
        x_t = scheduler.scale_model_input(x_t, t)
    return x_t, t.float().expand(len(x_t))


def classifier_input(
    scheduler: Any, x_t: Tensor, step: int, alphas_cumprod: Tensor
) -> tuple[Tensor, Tensor]:
    """What a classifier of noisy pictures sees: the variance-preserving x_t, and its timesteps.

    Args:
        scheduler: ready for ``step``; diffusion's own has the classifier's timesteps.
        x_t: as the scheduler has it, (B, 1, H, W).
        step: index into ``scheduler.timesteps``.
        alphas_cumprod: alphabar of each timestep that the classifier was trained on, (T,), falling;
            on a flow's lines the timestep is the one with as much signal, a fraction included.
    """
    if not is_flow(scheduler):
        return model_input(scheduler, x_t, step)
    sigma, signal = float(scheduler.sigmas[step]), alpha_bar(scheduler, step)
    t = float(np.interp(-signal, -alphas_cumprod.numpy(), np.arange(len(alphas_cumprod))))
    return x_t / math.hypot(1 - sigma, sigma), torch.full((len(x_t),), t, dtype=torch.float32)


def guided_noise(
    request: PixelDiffusionRequest, scheduler: Any, step: int, prediction: Prediction
) -> Tensor:
    """The UNet's output under a request's guidance, (count, 1, H, W): eps, or a velocity."""
    uncond, cond, scale = prediction.uncond, prediction.cond, request.guidance_scale
    if uncond is None:
        assert cond is not None
        return cond
    if request.guidance == "classifier" and prediction.gradient is not None:
        if is_flow(scheduler):
            sigma = float(scheduler.sigmas[step])
            return guidance.classifier_of_flow(uncond, prediction.gradient, scale, sigma)
        return guidance.classifier(uncond, prediction.gradient, scale, alpha_bar(scheduler, step))
    return uncond if cond is None else guidance.classifier_free(uncond, cond, scale)


def trajectory_frame(
    request: PixelDiffusionRequest,
    scheduler: Any,
    x_t: Tensor,
    step: int,
    prediction: Prediction,
    noise_pred: Tensor,
) -> dict[str, np.ndarray]:
    """What a trajectory keeps of one step: pictures uint8 (count, H, W), numbers (count,).

    ``timesteps``; ``alpha_bar``, the share of signal in the variance of x_t; ``x_t``, the noisy
    picture; ``guided``, ``uncond`` and ``cond``, the clean ones behind the predictions;
    ``guidance_norm``, the L2 norm of what guidance adds to eps_u (to a velocity, in a flow);
    ``confidence``, p(y | x_t, t); ``gradient``, float16 (count, H, W).
    """

    def clean(eps: Tensor) -> np.ndarray:
        return to_uint8(predicted_clean(scheduler, eps, x_t, step))

    frame = {
        "timesteps": np.float32(scheduler.timesteps[step]),
        "alpha_bar": np.float32(alpha_bar(scheduler, step)),
        "x_t": to_uint8(model_input(scheduler, x_t, step)[0]),
        "guided": clean(noise_pred),
    }
    if prediction.uncond is not None:
        frame["uncond"] = clean(prediction.uncond)
        added = (noise_pred - prediction.uncond).flatten(1)
        frame["guidance_norm"] = added.norm(dim=1).cpu().numpy()
    if prediction.cond is not None:
        frame["cond"] = clean(prediction.cond)
    if prediction.log_prob is not None:
        frame["confidence"] = prediction.log_prob.exp().cpu().numpy()
    if prediction.gradient is not None and request.guidance == "classifier":
        frame["gradient"] = prediction.gradient[:, 0].half().cpu().numpy()
    return frame
