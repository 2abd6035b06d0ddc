"""A network's layers in words, for a small diagram on a page or in a terminal. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genlab.formats.layers import ACTIVATIONS, Layer

WORDS = {"leaky_relu": "leaky ReLU", "relu": "ReLU", "elu": "ELU", "gelu": "GELU", "silu": "SiLU",
         "selu": "SELU", "prelu": "PReLU", "batch_norm": "batch norm", "layer_norm": "layer norm",
         "max_pool": "max pool /2", "avg_pool": "mean pool /2"}  # fmt: skip
TITLES = {"encoder": "Encoder", "mu": "mu", "logvar": "log variance", "decoder": "Decoder",
          "generator": "Generator", "discriminator": "Discriminator"}  # fmt: skip


def diagram(parts: Mapping[str, Sequence[Layer]]) -> list[tuple[str, list[tuple[str, bool]]]]:
    """Each part's title and its layers in words, each with whether it was guessed, not read.

    What a file of weights cannot say, activations and what changes the shape, counts as guessed.
    """
    return [
        (TITLES[name], [(words(layer), layer["op"] in ACTIVATIONS) for layer in layers])
        for name, layers in parts.items()
        if layers
    ]


def words(layer: Mapping[str, Any]) -> str:
    """One layer: "784 → 400", "conv 4×4 /2, 64 → 128", "leaky ReLU 0.2"."""
    op = layer["op"]
    if op == "linear":
        return f"{layer['in']} → {layer['out']}"
    if op in ("conv", "conv_transpose"):
        kernel, stride = layer["kernel"], layer.get("stride", 1)
        sign = "" if stride == 1 else f" ×{stride}" if op == "conv_transpose" else f" /{stride}"
        name = "conv" if op == "conv" else "transposed conv"
        return f"{name} {kernel}×{kernel}{sign}, {layer['in']} → {layer['out']}"
    if op == "leaky_relu":
        return f"leaky ReLU {layer.get('slope', 0.2):g}"
    if op == "batch_norm" and layer.get("eps", 1e-5) != 1e-5:
        return f"batch norm, eps {layer['eps']:g}"
    if op == "reshape":
        channels, height, width = layer["shape"]
        return f"as {channels} × {height}×{width}"
    if op == "upsample":
        return f"upsample ×{layer.get('scale', 2)}"
    return WORDS.get(op, op)
