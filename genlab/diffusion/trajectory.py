"""What a run predicted at its steps, kept to be looked at afterwards. Knows no model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from genlab.diffusion.schedulers import kept_steps
from genlab.requests import FILM_FRAMES


class Film:
    """Frames of one job, of evenly spaced steps, the last one included.

    A frame is a mapping of names to arrays; every frame of a film has the same names.

    Args:
        total: steps of the whole run.
        most: frames to keep.
    """

    def __init__(self, total: int, most: int = FILM_FRAMES) -> None:
        self._steps = set(kept_steps(total, most))
        self._frames: dict[int, Mapping[str, Any]] = {}

    def add(self, step: int, frame: Callable[[], Mapping[str, Any]]) -> None:
        """Keep the frame of a step if the film wants it; it is not even made otherwise."""
        if step in self._steps:
            self._frames[step] = frame()

    def extras(self) -> dict[str, np.ndarray]:
        """``film_steps`` (S,), the kept steps, and ``film_<name>`` (S, ...) for each name."""
        steps = sorted(self._frames)
        names = self._frames[steps[0]] if steps else ()
        stacked = {f"film_{n}": np.stack([self._frames[s][n] for s in steps]) for n in names}
        return {"film_steps": np.array(steps), **stacked}
