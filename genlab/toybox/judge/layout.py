"""Names and shapes of the tensors of Toybox's judge, by arithmetic. Knows no torch and no file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SIDE = 4  # of the last convolution's output: 64 pixels, halved once a width of four
WIDTHS = (16, 48, 96, 192)  # of the convolutions, unless a configuration says otherwise
FEATURES = 128


def weight_shapes(config: Mapping[str, Any]) -> dict[str, list[int]]:
    """The shape of each tensor of the `ToyboxJudge` that a config.json describes, by its name.

    Raises:
        KeyError, TypeError: it describes none.
    """
    widths, features = config.get("channels", WIDTHS), config.get("features", FEATURES)
    names = [config["nouns"], config["colours"], config["backgrounds"]]
    shapes: dict[str, list[int]] = {}
    before, layer = 4, 0  # channels: the colours and the ink
    for width in widths:
        for inputs in (before, width):
            shapes[f"body.{layer}.weight"] = [width, inputs, 3, 3]
            shapes |= _normalisation(f"body.{layer + 1}", width)
            layer += 3  # a convolution, its normalisation, a ReLU
        before = width
    layer += 2  # flattened, then a dropout
    shapes[f"body.{layer}.weight"] = [features, before * SIDE * SIDE]
    shapes[f"body.{layer}.bias"] = [features]
    shapes |= _normalisation(f"body.{layer + 1}", features)
    for k, head in enumerate(names):
        shapes[f"heads.{k}.weight"] = [len(head), features]
        shapes[f"heads.{k}.bias"] = [len(head)]
    return shapes


def _normalisation(name: str, width: int) -> dict[str, list[int]]:
    """Of a batch normalisation: its weights, and what it has seen."""
    rows = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{row}": [width] for row in rows} | {f"{name}.num_batches_tracked": []}
