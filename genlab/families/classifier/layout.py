"""Names and shapes of a `Classifier`'s weights, from its configuration. Arithmetic; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genlab.families.layout import Shapes, batch_norm, convolution, linear


def weight_shapes(config: Mapping[str, Any]) -> Shapes:
    """What `Classifier(**config).state_dict()` holds; raises if a configuration is none of it."""
    return _shapes(**config)


def _shapes(channels: tuple[int, int, int] = (16, 32, 64), feature_dim: int = 128) -> Shapes:
    c1, c2, c3 = channels
    shapes: Shapes = {}
    for k, (before, after) in enumerate(((1, c1), (c1, c2), (c2, c3))):
        shapes |= convolution(f"body.{4 * k}", before, after, 3, bias=False)
        shapes |= batch_norm(f"body.{4 * k + 1}", after)
    shapes |= linear("body.12", c3 * 7 * 7, feature_dim, bias=False)
    return shapes | batch_norm("body.13", feature_dim) | linear("head", feature_dim, 10)
