"""The shapes of a layer's weights, by name, as a state dict has them. Arithmetic; no torch.

Knows no family: each adds up its own network's in ``families/<family>/layout.py``, so that a
folder can be checked without building the network.
"""

from __future__ import annotations

Shapes = dict[str, list[int]]


def linear(name: str, inputs: int, outputs: int, bias: bool = True) -> Shapes:
    """`nn.Linear(inputs, outputs)`."""
    return _with_bias(name, [outputs, inputs], outputs, bias)


def convolution(name: str, inputs: int, outputs: int, kernel: int, bias: bool = True) -> Shapes:
    """`nn.Conv2d(inputs, outputs, kernel)`."""
    return _with_bias(name, [outputs, inputs, kernel, kernel], outputs, bias)


def transposed_convolution(name: str, inputs: int, outputs: int, kernel: int) -> Shapes:
    """`nn.ConvTranspose2d(inputs, outputs, kernel)`."""
    return _with_bias(name, [inputs, outputs, kernel, kernel], outputs, True)


def group_norm(name: str, width: int) -> Shapes:
    """`nn.GroupNorm(groups, width)`."""
    return {f"{name}.weight": [width], f"{name}.bias": [width]}


def batch_norm(name: str, width: int) -> Shapes:
    """`nn.BatchNorm1d(width)` or `nn.BatchNorm2d(width)`."""
    statistics = {f"{name}.running_mean": [width], f"{name}.running_var": [width]}
    return group_norm(name, width) | statistics | {f"{name}.num_batches_tracked": []}


def _with_bias(name: str, weight: list[int], outputs: int, bias: bool) -> Shapes:
    if not all(isinstance(size, int) for size in weight):
        raise TypeError(f"{name} has {weight}, no whole numbers")
    return {f"{name}.weight": weight} | ({f"{name}.bias": [outputs]} if bias else {})
