"""Requests for pictures on the way from one noise to another, for all that draw. No torch.

Two ways: straight through the middle, where noise of many dimensions is shorter than a network has
ever seen, or along the sphere on which it lies (Shoemake 1985).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field

from genlab.requests import MAX_SEED, SampleRequest

Interpolation = Literal["spherical", "linear"]
PARALLEL = 1e-4  # radians; closer than that the sphere is straight


class WalkRequest(SampleRequest):
    """Samples, or with ``to_seed`` the way from the noise of ``seed`` to that of ``to_seed``.

    On a way, picture k is drawn from the noise at ``share_of(k)``; whatever else is random, and a
    class that was not asked for, is that of ``seed`` for all.
    """

    to_seed: int | None = Field(
        None, ge=0, le=MAX_SEED, description="pictures on the way from the z of seed to this one's"
    )
    interpolation: Interpolation = Field(
        "spherical", description="the way from seed to to_seed: along the sphere, or straight"
    )
    shares: tuple[Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)], ...] = Field(
        (),
        max_length=64,
        description="how far on that way picture k is: shares[k % len(shares)]; evenly if none",
        json_schema_extra={"allowed": "at most 64 shares of the way, each a number from 0 to 1"},
    )

    def share_of(self, k: int) -> float:
        """How far picture k is on the way, from 0 to 1."""
        if self.shares:
            return self.shares[k % len(self.shares)]
        return k / (self.count - 1) if self.count > 1 else 0.0

    def seed_of(self, k: int) -> int:
        """The seed of all that is random in picture k, but for the way's other end."""
        return self.seed if self.to_seed is not None else (self.seed + k) % (MAX_SEED + 1)

    def for_image(self, k: int) -> Self:
        alone = super().for_image(k)
        if self.to_seed is None:
            return alone
        return alone.model_copy(update={"seed": self.seed, "shares": (self.share_of(k),)})


def interpolated(
    start: np.ndarray, end: np.ndarray, shares: np.ndarray, way: Interpolation
) -> np.ndarray:
    """Between (N or 1, ...) and (1, ...), row k at ``shares[k]`` of the way, 0 to 1; (N, ...).

    Linear: (1 - s) a + s b. Spherical: (sin((1 - s) w) a + sin(s w) b) / sin w, with w the angle
    between a and b (Shoemake 1985).
    """
    s = shares.astype(start.dtype).reshape(-1, *[1] * (start.ndim - 1))
    straight = (1 - s) * start + s * end
    if way == "linear":
        return straight
    a, b = start.reshape(len(start), -1), end.reshape(len(end), -1)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine = (a * b).sum(axis=1) / np.maximum(lengths, np.finfo(start.dtype).tiny)
    w = np.arccos(cosine.clip(-1, 1)).reshape(-1, *[1] * (start.ndim - 1))
    parallel = np.abs(np.sin(w)) < PARALLEL
    whole = np.where(parallel, 1, np.sin(w))
    along = (np.sin((1 - s) * w) * start + np.sin(s * w) * end) / whole
    return np.where(parallel, straight, along).astype(start.dtype)
