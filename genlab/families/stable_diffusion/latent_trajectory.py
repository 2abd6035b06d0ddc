"""What a run of latents predicted at its steps, kept as latents until they are decoded.

Knows no network and no job. Nothing of it waits for the device before the pictures are there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genlab.diffusion.schedulers import kept_steps, predicted_clean

MOST_FRAMES = 25
"""Most steps that are kept: each of them is up to three pictures to decode."""


class LatentTrajectory:
    """Of picture 0 of a job: the clean latents behind each prediction, at evenly spaced steps.

    Args:
        scheduler: ready for the job's first step, its timesteps on the CPU.
        begin: which of the scheduler's steps that is.
    """

    def __init__(self, scheduler: Any, begin: int = 0) -> None:
        self._scheduler, self._begin = scheduler, begin
        self._steps = set(kept_steps(len(scheduler.timesteps) - begin, MOST_FRAMES))
        self._kept: list[int] = []
        self._latents: dict[str, list[Tensor]] = {}  # each (1, C, h, w)
        self._norms: list[Tensor] = []  # each (1,)

    def add(self, step: int, latents: Tensor, predictions: Mapping[str, Tensor]) -> None:
        """Keep a step, if it is one of those, before the scheduler takes it.

        Args:
            step: its number, of the job's.
            latents: what the scheduler steps from, (count, C, h, w).
            predictions: the network's output by name, of the same shape: ``guided``, which the
                scheduler gets, and under guidance ``uncond`` and ``cond``, which it is made of.
        """
        if step not in self._steps:
            return
        self._kept.append(step)
        for name, rows in predictions.items():
            clean = predicted_clean(self._scheduler, rows[:1], latents[:1], self._begin + step)
            self._latents.setdefault(name, []).append(clean)
        if "uncond" in predictions:
            difference = predictions["guided"][:1] - predictions["uncond"][:1]
            self._norms.append(difference.float().flatten(1).norm(dim=1))

    def latents(self) -> Tensor:
        """All clean latents to decode, name by name, (names * S, C, h, w)."""
        return torch.cat([row for rows in self._latents.values() for row in rows])

    def extras(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """Of a Result, for S kept steps.

        ``trajectory_steps`` (S,) and ``trajectory_timesteps`` (S,); ``trajectory_guided``, uint8
        (S, 1, H, W, 3). Under guidance also ``trajectory_uncond`` and ``trajectory_cond``, and
        ``trajectory_guidance_norm`` (S, 1), the L2 norm of what guidance adds to the unconditional
        output of the network.

        Args:
            pictures: what ``latents()`` decodes to, uint8 (names * S, H, W, 3).
        """
        parts = np.split(pictures[:, None], len(self._latents))
        extras = {f"trajectory_{n}": part for n, part in zip(self._latents, parts, strict=True)}
        extras["trajectory_steps"] = np.array(self._kept)
        timesteps = [float(self._scheduler.timesteps[self._begin + step]) for step in self._kept]
        extras["trajectory_timesteps"] = np.array(timesteps)
        if self._norms:
            extras["trajectory_guidance_norm"] = torch.stack(self._norms).cpu().numpy()
        return extras
