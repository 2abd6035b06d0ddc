"""The noise schedulers by the names that a person picks; all of them are diffusers' own.

A new one is a row in SCHEDULERS. Importing this needs no torch; making a scheduler does.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def _one(config: Mapping[str, Any]) -> int:
    return 1


def _runge_kutta(config: Mapping[str, Any]) -> int:
    """PNDM begins with four Runge-Kutta steps, unless a checkpoint's config skips them."""
    return 1 if config.get("skip_prk_steps") else 4


@dataclass(frozen=True)
class SchedulerRow:
    """One scheduler: diffusers' class, how a person calls it, and what it changes in a config."""

    class_name: str
    label: str
    source: str
    pixels: bool = False  # whether the pixel diffusion offers it too
    config: Mapping[str, Any] = field(default_factory=dict)  # over the checkpoint's own
    fewest_steps: Callable[[Mapping[str, Any]], int] = _one  # by the checkpoint's config


SCHEDULERS: dict[str, SchedulerRow] = {
    "ddim": SchedulerRow("DDIMScheduler", "DDIM", "Song et al. 2021, arXiv:2010.02502", True),
    "euler": SchedulerRow(
        "EulerDiscreteScheduler",
        "Euler",
        "Karras et al. 2022, arXiv:2206.00364, algorithm 2, no churn",
        True,
    ),
    "euler-ancestral": SchedulerRow(
        "EulerAncestralDiscreteScheduler", "Euler ancestral", "Song et al. 2021, arXiv:2011.13456"
    ),
    "dpmpp-2m": SchedulerRow(
        "DPMSolverMultistepScheduler", "DPM++ 2M", "Lu et al. 2022, arXiv:2211.01095", True
    ),
    "pndm": SchedulerRow(
        "PNDMScheduler", "PNDM", "Liu et al. 2022, arXiv:2202.09778", fewest_steps=_runge_kutta
    ),
    "ddpm": SchedulerRow("DDPMScheduler", "DDPM", "Ho et al. 2020, arXiv:2006.11239", True),
    "lcm": SchedulerRow(
        "LCMScheduler",
        "LCM",
        "Luo et al. 2023, arXiv:2310.04378",
        config={"original_inference_steps": 100},  # the most that can be asked for
    ),
}


def scheduler_names() -> tuple[str, ...]:
    """Every name that a request for latents may have."""
    return tuple(SCHEDULERS)


def pixel_scheduler_names() -> tuple[str, ...]:
    """The names that a request for pixels may have."""
    return tuple(name for name, row in SCHEDULERS.items() if row.pixels)


FLOW = "FlowMatchEulerDiscreteScheduler"
FLOW_NAMES = ("ddim", "euler")
"""What may draw from a flow along straight paths: there both are Euler's method.

DDIM puts x_0 and eps together anew at the next sigma, which on x = (1 - sigma) x_0 + sigma eps is a
step along the velocity eps - x_0; so it is one rule under two names.
"""


def is_flow(scheduler: Any) -> bool:
    """Whether a scheduler follows straight lines by a predicted velocity."""
    return type(scheduler).__name__ == FLOW


def make_scheduler(name: str, config: Mapping[str, Any]) -> Any:
    """A fresh scheduler of that name with a checkpoint's noise schedule; a flow's is its own."""
    import diffusers  # takes seconds; who only reads the table does not wait for it

    if config.get("_class_name") == FLOW:
        return getattr(diffusers, FLOW).from_config(config)
    row = SCHEDULERS[name]
    return getattr(diffusers, row.class_name).from_config(config, **row.config)


def set_steps(scheduler: Any, steps: int) -> None:
    """Make a scheduler ready for so many steps; a flow's are equal pieces of its lines."""
    if is_flow(scheduler):
        scheduler.set_timesteps(sigmas=[1 - k / steps for k in range(steps)])
    else:
        scheduler.set_timesteps(steps)


def first_scale(scheduler: Any) -> float:
    """The standard deviation of the noise that a scheduler begins with."""
    return 1.0 if is_flow(scheduler) else float(scheduler.init_noise_sigma)


def noised(scheduler: Any, clean: torch.Tensor, noise: torch.Tensor, step: int) -> torch.Tensor:
    """Clean samples (B, ...) with their noise, as the scheduler has them before ``step``."""
    t = scheduler.timesteps[step : step + 1].expand(len(clean))
    if is_flow(scheduler):
        return scheduler.scale_noise(clean, t, noise)
    return scheduler.add_noise(clean, noise, t)


def step_options(scheduler: Any, **offered: Any) -> dict[str, Any]:
    """Those of the offered arguments that this scheduler's ``step`` takes.

    To be called once a job: reading a signature takes longer than many a step.
    """
    taken = inspect.signature(scheduler.step).parameters
    return {name: value for name, value in offered.items() if name in taken}


def own_timestep(scheduler: Any, step: int) -> Any:
    """The timestep that a scheduler's ``step`` is called with, as it has it.

    LCM computes with it: as a Python number, since a whole one in a tensor would become PyTorch's
    default number format, which is half precision while another thread loads a model for a GPU.
    """
    t = scheduler.timesteps[step]
    return int(t) if type(scheduler).__name__ == SCHEDULERS["lcm"].class_name else t


def alpha_bar(scheduler: Any, step: int) -> float:
    """alphabar_t of a scheduler's step ``step``: the share of signal in x_t's variance, in [0, 1].

    The scheduler's tables must lie on the CPU, or every call waits for the device.
    x_t = sqrt(alphabar_t) x_0 + sqrt(1 - alphabar_t) eps; where a scheduler counts in sigmas,
    x_0 + sigma eps is x_t / sqrt(alphabar_t), so alphabar_t = 1 / (sigma^2 + 1). In a flow
    (1 - sigma) x_0 + sigma eps is x_t sqrt((1 - sigma)^2 + sigma^2); it begins with alphabar = 0.
    """
    if is_flow(scheduler):
        noise = float(scheduler.sigmas[step])
        return (1 - noise) ** 2 / ((1 - noise) ** 2 + noise**2)
    sigmas = getattr(scheduler, "sigmas", None)
    if sigmas is not None and len(sigmas) == len(scheduler.timesteps) + 1:
        return float(1 / (sigmas[step].double() ** 2 + 1))
    return float(scheduler.alphas_cumprod[int(scheduler.timesteps[step])])


def predicted_clean(
    scheduler: Any, model_output: torch.Tensor, sample: torch.Tensor, step: int
) -> torch.Tensor:
    """The clean sample x_0 that a network's output says is behind a noisy one.

    With the variance-preserving sample x_t and alphabar_t of that step:
    x_0 = (x_t - sqrt(1 - alphabar_t) eps) / sqrt(alphabar_t) for a predicted eps (Ho et al. 2020,
    eq. 15), x_0 = sqrt(alphabar_t) x_t - sqrt(1 - alphabar_t) v for a predicted v (Salimans & Ho
    2022, appendix D), x_0 = x - sigma v for a flow's velocity. Nothing is clipped.

    Args:
        scheduler: ready for step ``step`` (its ``step`` not called for it yet); not changed in
            any way that matters to it.
        model_output: eps, v or x_0 as ``scheduler.config.prediction_type`` has it, (B, ...).
        sample: what the scheduler steps from, (B, ...); unscaled, as the job keeps it.
        step: index into ``scheduler.timesteps``.
    """
    if is_flow(scheduler):
        return sample - float(scheduler.sigmas[step]) * model_output
    kind = scheduler.config.prediction_type
    if kind == "sample":
        return model_output
    alphabar = alpha_bar(scheduler, step)
    signal, noise = math.sqrt(alphabar), math.sqrt(1 - alphabar)
    x_t = scheduler.scale_model_input(sample, scheduler.timesteps[step]).float()
    if kind == "v_prediction":
        clean = signal * x_t - noise * model_output
    else:
        clean = (x_t - noise * model_output) / signal
    return clean.to(sample.dtype)


def within_range(
    scheduler: Any, model_output: torch.Tensor, sample: torch.Tensor, step: int
) -> torch.Tensor:
    """A flow's velocity to the clean pixels that it leads to, moved into [-1, 1].

    Schedulers of diffusion do that by themselves (``clip_sample``): other outputs stay.
    Arguments and result as in `predicted_clean`.
    """
    if not is_flow(scheduler):
        return model_output
    clean = predicted_clean(scheduler, model_output, sample, step).clamp(-1, 1)
    return (sample - clean) / float(scheduler.sigmas[step])


def kept_steps(total: int, most: int) -> list[int]:
    """Which of ``total`` steps a trajectory of ``most`` frames keeps: even, the last included."""
    if total <= most:
        return list(range(total))
    if most == 1:
        return [total - 1]
    return [round(k * (total - 1) / (most - 1)) for k in range(most)]
