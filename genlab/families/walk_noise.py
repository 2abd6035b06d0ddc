"""The noise that samples begin with, each its own or all on one way. Knows no network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from genlab.engine.runner import noise_rows
from genlab.families.walk import WalkRequest, interpolated


def walk_generators(request: WalkRequest, part: slice = slice(None)) -> list[torch.Generator]:
    """One CPU generator an image of a part of the request, seeded ``seed_of(k)``."""
    seeds = [request.seed_of(k) for k in range(request.count)[part]]
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def first_noise(
    request: WalkRequest,
    owned: Sequence[torch.Generator],
    shape: Sequence[int],
    part: slice = slice(None),
) -> Tensor:
    """The noise (len(owned), *shape) of a part of the request's images, on the CPU.

    Args:
        owned: fresh ``walk_generators(request, part)``; they have given one noise afterwards.
    """
    noise = noise_rows(owned, shape)
    if request.to_seed is None:
        return noise
    end = noise_rows([torch.Generator().manual_seed(request.to_seed)], shape)
    shares = np.array([request.share_of(k) for k in range(request.count)[part]])
    way = interpolated(noise.numpy(), end.numpy(), shares, request.interpolation)
    return torch.from_numpy(way)
