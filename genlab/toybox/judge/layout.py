"""Names and shapes of the weights of Toybox's judge, by arithmetic. Knows no torch and no file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genlab.families.layout import Shapes, batch_norm, convolution, linear

SIDE = 4  # of the last convolution's output: 64 pixels, halved once a width of four


def weight_shapes(config: Mapping[str, Any]) -> Shapes:
    """The weights of the `ToyboxJudge` that a config.json describes.

    Args:
        config: ``nouns``, ``colours`` and ``backgrounds``; ``channels`` and ``features``, if they
            are not the usual ones.
    """
    features = config.get("features", 128)
    heads = [config["nouns"], config["colours"], config["backgrounds"]]
    shapes: Shapes = {}
    before, layer = 4, 0  # channels: the colours and the ink
    for width in config.get("channels", (16, 48, 96, 192)):
        for inputs in (before, width):
            shapes |= convolution(f"body.{layer}", inputs, width, 3, bias=False)
            shapes |= batch_norm(f"body.{layer + 1}", width)
            layer += 3  # and a ReLU
        before = width
    layer += 2  # flattened, then a dropout
    shapes |= linear(f"body.{layer}", before * SIDE * SIDE, features)
    shapes |= batch_norm(f"body.{layer + 1}", features)
    for k, names in enumerate(heads):
        shapes |= linear(f"heads.{k}", features, len(names))
    return shapes
