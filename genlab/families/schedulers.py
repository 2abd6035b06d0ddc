"""The noise schedulers by the names that a person picks; all of them are diffusers' own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
)

CLASSES: dict[str, Any] = {
    "ddim": DDIMScheduler,  # Song et al. 2021, arXiv:2010.02502
    "euler": EulerDiscreteScheduler,  # Karras et al. 2022, arXiv:2206.00364, algorithm 2, no churn
    "euler-ancestral": EulerAncestralDiscreteScheduler,
    "dpmpp-2m": DPMSolverMultistepScheduler,  # Lu et al. 2022, arXiv:2211.01095
    "pndm": PNDMScheduler,  # Liu et al. 2022, arXiv:2202.09778
    "ddpm": DDPMScheduler,  # Ho et al. 2020, arXiv:2006.11239
}


def make_scheduler(name: str, config: Mapping[str, Any]) -> Any:
    """A fresh scheduler of that name with a checkpoint's noise schedule."""
    return CLASSES[name].from_config(config)
