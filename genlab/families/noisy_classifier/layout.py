"""Names and shapes of a `NoisyClassifier`'s weights, by its configuration. Arithmetic; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genlab.families.layout import Shapes, convolution, group_norm, linear

EMBEDDING = 64
"""Width of the sines and cosines of t."""


def weight_shapes(config: Mapping[str, Any]) -> Shapes:
    """What `NoisyClassifier(**config).state_dict()` holds; raises if it is none of it."""
    return _shapes(**config)


def _shapes(
    channels: tuple[int, int] = (32, 64), hidden: int = 128, num_classes: int = 10
) -> Shapes:
    c1, c2 = channels
    shapes = linear("time.0", EMBEDDING, hidden) | convolution("enter", 1, c1, 4)
    for k, (before, after) in enumerate(((c1, c1), (c1, c2), (c2, c2))):
        shapes |= group_norm(f"blocks.{k}.norm", before)
        shapes |= linear(f"blocks.{k}.modulate", hidden, 2 * before)
        shapes |= convolution(f"blocks.{k}.convolution", before, after, 3)
    shapes |= linear("head.1", c2 * 7 * 7, hidden)
    return shapes | linear("head.3", hidden, num_classes)
