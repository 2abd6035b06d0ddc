"""What is learnt from: digits of MNIST, and points on a ring. Knows no network.

`digits.png` holds 2,000 training digits, 200 of each class; see `digits-LICENSE.md`.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genlab.requests import UserError
from genlab.settings import Settings
from genlab.training.data import load_images

SHIPPED = Path(__file__).with_name("digits.png")
SIDE = 28
CLUSTERS, RADIUS, SPREAD = 8, 2.0, 0.1
NEAR = 4 * SPREAD
"""So far from a cluster's centre a point still belongs to it: nearly every real one does."""
HALF_OF_ITS_SHARE = 0.5
"""A cluster is drawn if it gets so much of an equal share of the points."""


def load_digits() -> Tensor:
    """uint8 digits (N, 28, 28): all of MNIST's where GENLAB_DATA has them, else those shipped."""
    try:
        return load_images("mnist", train=True, root=Settings().data, download=False)[0]
    except UserError:
        return shipped_digits()


def shipped_digits() -> Tensor:
    """The digits that are part of GenLab, uint8 (2000, 28, 28)."""
    sheet = np.asarray(Image.open(SHIPPED))
    rows, columns = sheet.shape[0] // SIDE, sheet.shape[1] // SIDE
    tiles = sheet.reshape(rows, SIDE, columns, SIDE).swapaxes(1, 2)
    return torch.from_numpy(tiles.reshape(-1, SIDE, SIDE).copy())


def centres() -> Tensor:
    """The middles of the clusters, (8, 2), on a circle."""
    angles = torch.arange(CLUSTERS, dtype=torch.float32) * (2 * math.pi / CLUSTERS)
    return RADIUS * torch.stack([angles.cos(), angles.sin()], dim=1)


def ring(count: int, generator: torch.Generator) -> Tensor:
    """Points (count, 2) of eight Gaussians in turn, drawn from the generator."""
    which = torch.randint(CLUSTERS, (count,), generator=generator)
    noise = torch.randn(count, 2, generator=generator, dtype=torch.float32)
    return centres()[which] + SPREAD * noise


def clusters_drawn(points: Tensor) -> int:
    """How many of the eight clusters get at least half of an equal share of points (N, 2)."""
    distance = torch.cdist(points.cpu(), centres())
    nearest = distance.argmin(1)[distance.min(1).values <= NEAR]
    counts = torch.bincount(nearest, minlength=CLUSTERS)
    return int((counts >= HALF_OF_ITS_SHARE * len(points) / CLUSTERS).sum())
