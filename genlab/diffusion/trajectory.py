"""What a run went through, kept to be looked at afterwards. Knows no model and no tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from genlab.diffusion.schedulers import kept_steps

TRAJECTORY_FRAMES = 50
"""Most steps that a trajectory keeps; a longer run's are evenly spaced."""


class Trajectory:
    """Frames of one job, of evenly spaced steps, the last one included.

    A frame is a mapping of names to arrays; every frame of a trajectory has the same names. Making
    one is part of the step that it shows, so none of them has to wait for a run's end.

    Args:
        total: steps of the whole run.
        most: frames to keep.
    """

    def __init__(self, total: int, most: int = TRAJECTORY_FRAMES) -> None:
        self._steps = set(kept_steps(total, most))
        self._frames: dict[int, Mapping[str, Any]] = {}

    def add(self, step: int, frame: Callable[[], Mapping[str, Any]]) -> None:
        """Keep the frame of a step if it is one of those; it is not even made otherwise."""
        if step in self._steps:
            self._frames[step] = frame()

    def extras(self) -> dict[str, np.ndarray]:
        """``trajectory_steps`` (S,), the kept ones; ``trajectory_<name>`` (S, ...) of each name."""
        steps = sorted(self._frames)
        names = self._frames[steps[0]] if steps else ()
        stacked = {f"trajectory_{n}": np.stack([self._frames[s][n] for s in steps]) for n in names}
        return {"trajectory_steps": np.array(steps), **stacked}
