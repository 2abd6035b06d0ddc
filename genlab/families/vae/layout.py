"""Names and shapes of a `ConvVAE`'s weights, from its configuration. Arithmetic; no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from genlab.families.layout import Shapes, convolution, linear, transposed_convolution
from genlab.formats import layers


def weight_shapes(config: Mapping[str, Any]) -> Shapes:
    """What the network of a configuration holds; raises if it makes none.

    It is a `ConvVAE`, or one whose layers the configuration lists.
    """
    if layers.is_described(config):
        return layers.weight_shapes(config)
    return _shapes(**config)


def own_config(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
    """The configuration of the `ConvVAE` that has these weights; None if none has."""
    try:
        depth = sum(
            bool(re.fullmatch(r"decoder\.\d+\.weight", n)) for n in shapes if _flat(shapes, n)
        )
        config = {
            "latent_dim": shapes["decoder.0.weight"][1],
            "channels": [shapes[f"encoder.{k}.weight"][0] for k in (0, 2)],
            "hidden": shapes["decoder.0.weight"][0],
            "depth": depth - 1,
            "blocks": sum(bool(re.fullmatch(r"decoder\.\d+\.f\.0\.weight", n)) for n in shapes),
        }
        return config if _shapes(**config) == shapes else None
    except (KeyError, IndexError, ValueError, TypeError):
        return None


def _flat(shapes: Mapping[str, Sequence[int]], name: str) -> bool:
    return len(shapes[name]) == 2


def _shapes(
    latent_dim: int,
    channels: tuple[int, int] = (16, 32),
    hidden: int = 256,
    depth: int = 1,
    blocks: int = 0,
) -> Shapes:
    c1, c2 = channels
    shapes = convolution("encoder.0", 1, c1, 4) | convolution("encoder.2", c1, c2, 4)
    first = 5 + blocks  # the encoder's fully connected layer, after a Flatten
    shapes |= linear(f"encoder.{first}", c2 * 7 * 7, hidden)
    shapes |= linear("decoder.0", latent_dim, hidden)
    for k in range(1, depth):  # every other module is a ReLU
        shapes |= linear(f"encoder.{first + 2 * k}", hidden, hidden)
        shapes |= linear(f"decoder.{2 * k}", hidden, hidden)
    last = 2 * max(depth, 1)
    shapes |= linear(f"encoder.{first + last}", hidden, 2 * latent_dim)
    shapes |= linear(f"decoder.{last}", hidden, c2 * 7 * 7)
    up = last + 3  # ReLU, Unflatten before
    for k in range(blocks):
        for part in (f"encoder.{4 + k}", f"decoder.{up + k}"):
            shapes |= convolution(f"{part}.f.0", c2, c2, 3) | convolution(f"{part}.f.2", c2, c2, 3)
    up += blocks
    shapes |= transposed_convolution(f"decoder.{up}", c2, c1, 4)
    return shapes | transposed_convolution(f"decoder.{up + 2}", c1, 1, 4)
