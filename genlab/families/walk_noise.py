"""The noise that samples begin with, each its own or all on one way. Knows no network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from genlab.engine.runner import noise_rows
from genlab.families.walk import Interpolation, WalkRequest

PARALLEL = 1e-4  # radians; closer than that the sphere is straight


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
    shares = torch.tensor([request.share_of(k) for k in range(request.count)[part]])
    return interpolated(noise, end, shares, request.interpolation)


def interpolated(start: Tensor, end: Tensor, shares: Tensor, way: Interpolation) -> Tensor:
    """Between two tensors (N, ...) and (1, ...), row k at ``shares[k]`` of the way, from 0 to 1.

    Linear: (1 - s) a + s b. Spherical: (sin((1 - s) w) a + sin(s w) b) / sin w, with w the angle
    between a and b (Shoemake 1985).
    """
    s = shares.to(start).reshape(-1, *[1] * (start.ndim - 1))
    if way == "linear":
        return (1 - s) * start + s * end
    a, b = start.flatten(1), end.flatten(1)
    cosine = torch.nn.functional.cosine_similarity(a, b).clamp(-1, 1)
    w = torch.arccos(cosine).reshape(s.shape)
    along = (torch.sin((1 - s) * w) * start + torch.sin(s * w) * end) / torch.sin(w)
    return torch.where(torch.sin(w).abs() < PARALLEL, (1 - s) * start + s * end, along)
