"""Strides, paddings and upsampling by which the sizes of a chain of layers fit. Knows no network.

No file says them. Of all that lead to a usual size of picture the most usual are taken, by a
shortest path over (layer, size).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genlab.formats.layers import Layer, conv_size
from genlab.formats.recognise.leaves import Leaf, Reading
from genlab.formats.recognise.order import Chain

UP: Mapping[int, Sequence[tuple[int, int, int, float]]] = {
    1: ((1, 2, 0, 0.5), (1, 0, 0, 2)),
    2: ((2, 0, 0, 0),),
    3: ((2, 1, 1, 0), (1, 1, 0, 1), (2, 0, 0, 2), (2, 1, 0, 2), (1, 0, 0, 2)),
    4: ((2, 1, 0, 0), (1, 0, 0, 3), (2, 0, 0, 3), (2, 2, 0, 4), (1, 1, 0, 4), (2, 3, 0, 5)),
    5: ((2, 2, 1, 0), (1, 2, 0, 1), (2, 0, 0, 2), (1, 0, 0, 2), (2, 1, 0, 3)),
    6: ((2, 2, 0, 0), (2, 0, 0, 2)),
    7: ((1, 0, 0, 1), (2, 3, 1, 1), (1, 3, 0, 2)),
    8: ((2, 3, 0, 1), (1, 0, 0, 2), (4, 2, 0, 2)),
}
"""Of a transposed convolution by its kernel: stride, padding, output padding; how unusual."""
DOWN: Mapping[int, Sequence[tuple[int, int, int, float]]] = {
    1: ((1, 0, 0, 0),),
    2: ((2, 0, 0, 0), (1, 0, 0, 2)),
    3: ((2, 1, 0, 0), (1, 1, 0, 0.5), (1, 0, 0, 1), (2, 0, 0, 2)),
    4: ((2, 1, 0, 0), (1, 0, 0, 3), (2, 0, 0, 2), (1, 1, 0, 4), (1, 2, 0, 4)),
    5: ((2, 2, 0, 0), (1, 2, 0, 1), (1, 0, 0, 1), (2, 1, 0, 2), (2, 0, 0, 2)),
    7: ((1, 3, 0, 1), (1, 0, 0, 1), (2, 3, 0, 1)),
    8: ((1, 0, 0, 1), (2, 3, 0, 1)),
}
"""The same of a convolution."""
UNPADDED = 4.0  # how unusual it is that no layer at all is padded


@dataclass(frozen=True)
class Step:
    """One layer with weights, and what stands round it without any.

    Attributes:
        leaf: whose weights it has.
        layer: its entry in a config.json.
        before: what comes between the activation of the layer before and it.
        after: what comes behind its own activation.
    """

    leaf: Leaf
    layer: dict[str, Any]
    before: tuple[Layer, ...] = ()
    after: tuple[Layer, ...] = ()


@dataclass(frozen=True)
class _Way:
    """Steps up to one layer, at a size, and how unusual all of them are."""

    cost: float
    steps: tuple[Step, ...] = field(default=())


State = tuple[int, int]
"""Channels and pixels of a side; of plain numbers, how many and 0."""


def fit(
    chain: Chain, start: State, up: bool, goal: Callable[[State], float | None]
) -> tuple[list[Step], State] | None:
    """The most usual geometry of a chain; None if no usual one fits.

    Args:
        chain: layers in order.
        start: what the first one is given.
        up: whether sizes grow: then planes may be upsampled before a convolution; else they may be
            pooled behind one.
        goal: how unusual it is that the last layer gives this; None: it cannot.
    """
    best: tuple[float, list[Step], State] | None = None
    for padded, extra in ((True, 0.0), (False, UNPADDED)):
        for state, way in _ways(chain, start, up, padded).items():
            last = goal(state)
            if last is not None and (best is None or way.cost + last + extra < best[0]):
                best = (way.cost + last + extra, list(way.steps), state)
    return None if best is None else best[1:]


def free_places(before: Leaf | None, leaf: Leaf) -> int | None:
    """How many modules without weights stand between two layers; None if nobody can know."""
    if before is None or before.parent != leaf.parent:
        return None
    if before.place is None or leaf.place is None:
        return None
    return leaf.place - before.place - 1


def _ways(chain: Chain, start: State, up: bool, padded: bool) -> dict[State, _Way]:
    ways = {start: _Way(0.0)}
    before: Leaf | None = None
    for k, (leaf, reading) in enumerate(chain):
        reached: dict[State, _Way] = {}
        for state, way in ways.items():
            free = free_places(before, leaf)
            for after, cost, step in _steps(leaf, reading, state, up, padded, free, k):
                total = way.cost + cost
                if after not in reached or total < reached[after].cost:
                    reached[after] = _Way(total, (*way.steps, step))
        ways, before = reached, leaf
    return ways


def _steps(
    leaf: Leaf, reading: Reading, state: State, up: bool, padded: bool, free: int | None, k: int
) -> Iterator[tuple[State, float, Step]]:
    """Every usual way to call one layer at a size: what comes out, how unusual, the step."""
    channels, side = state
    layer = leaf.layer(reading)
    if reading.op == "linear":
        flat = ({"op": "flatten"},) if side else ()
        if channels * max(side, 1) ** 2 == reading.inputs:
            yield (reading.outputs, 0), 0.0, Step(leaf, layer, flat)
        return
    shaped, state = _as_planes(reading, state, leaf.is_norm)
    channels, side = state
    if leaf.is_norm or reading.op == "prelu":
        if channels == reading.inputs or reading.op == "prelu":
            yield state, 0.0, Step(leaf, layer, shaped)
        return
    if channels != reading.inputs or not side:
        return
    may_grow = up and reading.op == "conv" and (free is None or free > len(shaped))
    for scale in (1, 2) if may_grow else (1,):
        grown = ({"op": "upsample", "scale": 2},) if scale == 2 else ()
        for stride, padding, output_padding, cost in _geometries(leaf, reading, side, padded, up):
            placed = layer | {"stride": stride, "padding": padding}
            if reading.op == "conv_transpose":
                placed["output_padding"] = output_padding
            size = conv_size(placed, side * scale)
            if not 1 <= size <= 256:
                continue
            more = cost + (scale - 1) * (0.5 + 0.01 * k) + _late(leaf, stride, k)
            yield (reading.outputs, size), more, Step(leaf, placed, (*shaped, *grown))
            if not up and size % 2 == 0 and stride == 1 and side > 4:
                pooled = Step(leaf, placed, shaped, ({"op": "max_pool", "size": 2},))
                yield (reading.outputs, size // 2), more + 1.0, pooled


def _late(leaf: Leaf, stride: int, k: int) -> float:
    """Of equally usual ways, that where a layer of 5x5 that keeps the size comes first, and of
    3x3 last."""
    if stride > 1:
        return 0.0
    return 0.01 * k if leaf.kernel >= 5 else -0.01 * k


def _as_planes(reading: Reading, state: State, norm: bool) -> tuple[tuple[Layer, ...], State]:
    """Plain numbers as planes, where a layer wants these."""
    count, side = state
    if side or reading.op in ("prelu", "layer_norm") or (norm and count == reading.inputs):
        return (), state
    side = math.isqrt(max(count // reading.inputs, 0))
    if side * side * reading.inputs != count:
        return (), state
    return ({"op": "reshape", "shape": [reading.inputs, side, side]},), (reading.inputs, side)


def _geometries(
    leaf: Leaf, reading: Reading, side: int, padded: bool, up: bool
) -> Sequence[tuple[int, int, int, float]]:
    if not padded:
        return ((2, 0, 0, 0.0), (1, 0, 0, 0.1))
    if reading.op == "conv_transpose":
        if side == 1:  # the first one, from z: the whole kernel
            return ((1, 0, 0, 0.0), *((s, p, o, c + 1) for s, p, o, c in UP.get(leaf.kernel, ())))
        return UP.get(leaf.kernel, ())
    if up and leaf.kernel % 2:  # as large as before
        return ((1, leaf.kernel // 2, 0, 0.0), (1, 0, 0, 3.0))
    if side == leaf.kernel:  # the last one: the whole picture
        return ((1, 0, 0, 0.0), *DOWN.get(leaf.kernel, ()))
    return DOWN.get(leaf.kernel, ())
