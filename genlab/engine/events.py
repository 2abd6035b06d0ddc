"""What an owner sees of a job: plain, frozen and picklable; no tensor, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Queued:
    """The job waits; ``position`` 1 is next."""

    position: int


@dataclass(frozen=True)
class Loading:
    """The job waits for its model, which is being loaded; ``title`` is what a person calls it."""

    title: str


@dataclass(frozen=True)
class Progress:
    """``step`` of ``total`` is done; ``preview`` is uint8 (N, H, W[, 3]) or None."""

    step: int
    total: int
    preview: np.ndarray | None
    eta: float | None  # seconds

    def with_preview_of(self, unseen: Event) -> Progress:
        """This, with the preview of an event that nobody has seen, unless it brings its own."""
        if self.preview is None and isinstance(unseen, Progress):
            return replace(self, preview=unseen.preview)
        return self


@dataclass(frozen=True)
class Result:
    """The finished job: pictures, and whatever else its family reports about them.

    A runner fills the first three fields; the engine adds the others.
    """

    images: np.ndarray  # uint8 (N, H, W) or (N, H, W, 3)
    extras: Mapping[str, Any] = field(default_factory=dict)  # numpy arrays and plain values
    notes: tuple[str, ...] = ()  # plain sentences for the person
    figures: Mapping[str, Any] = field(default_factory=dict)  # of a request to be judged; JSON
    fingerprint: str = ""  # sha256 of the weights that drew it, as they were in memory
    seconds: float = 0.0  # from the first step to the last
    waited: float = 0.0  # seconds in the queue
    files: tuple[bytes, ...] = ()  # the images as PNG files, where they were made on their way


@dataclass(frozen=True)
class Failed:
    """The job ended without a result; ``message`` is one plain sentence."""

    message: str


@dataclass(frozen=True)
class Cancelled:
    """The job's owner stopped it."""


Event = Queued | Loading | Progress | Result | Failed | Cancelled
FINAL = (Result, Failed, Cancelled)
