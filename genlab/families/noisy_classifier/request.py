"""What a classifier of noised pictures can be asked. No torch."""

from __future__ import annotations

from pydantic import Field

from genlab.requests import MAX_SEED, ImagesRequest


class NoisyClassifyRequest(ImagesRequest):
    """Class probabilities of pictures noised up to ``timestep``; noise k is of ``seed + k``."""

    timestep: int = Field(0, ge=0, le=999)
    seed: int = Field(0, ge=0, le=MAX_SEED)
