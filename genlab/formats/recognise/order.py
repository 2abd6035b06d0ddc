"""Layers in the order in which they are called, found by their widths. Knows no size of a picture.

Each layer has to take as many numbers or channels as the one before it gives; where several fit,
that of the file goes first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from genlab.formats.metadata import BrokenCheckpoint
from genlab.formats.recognise.leaves import Leaf, Reading

TRIES = 20_000  # of one search
LOOKS = 400_000  # of all searches for one network


class Patience:
    """How many layers may still be looked at until a network is understood, in all searches."""

    def __init__(self, looks: int = LOOKS) -> None:
        self._left = looks

    def spend(self, looks: int) -> None:
        """Note so many; raises BrokenCheckpoint when there are none left."""
        self._left -= looks
        if self._left < 0:
            raise BrokenCheckpoint(
                "its layers fit each other in too many ways to tell which is meant; save the "
                "network as ONNX (z in, picture out) instead."
            )


@dataclass(frozen=True)
class Width:
    """What passes between two layers: so many numbers, or planes of so many channels."""

    count: int
    planes: bool = False


Chain = list[tuple[Leaf, Reading]]
"""Layers in order, each as it is to be read."""


def chain(
    leaves: Sequence[Leaf],
    start: Width,
    goal: Callable[[Width], bool],
    up: bool,
    patience: Patience,
) -> Chain | None:
    """All of the layers in an order that leads from ``start`` to a ``goal``; None if none does.

    Args: as for `chains`.
    """
    ways = chains(leaves, start, goal, up, patience)
    return next((found for found, left in ways if not left), None)


def chains(
    leaves: Sequence[Leaf],
    start: Width,
    goal: Callable[[Width], bool],
    up: bool,
    patience: Patience,
) -> Iterator[tuple[Chain, list[Leaf]]]:
    """Every way from ``start`` to a ``goal``, and the layers that it leaves over.

    Args:
        leaves: in the order of the file.
        start: what the first layer is given.
        goal: whether the last layer may give this.
        up: whether sizes grow, so that a convolution which can be read both ways is a transposed
            one; names that say otherwise count more.
        patience: that the search takes from.

    Raises:
        BrokenCheckpoint: it is at an end.
    """
    tries, transposed = 0, up and grows(leaves)

    def walk(width: Width, left: list[Leaf], path: Chain) -> Iterator[tuple[Chain, list[Leaf]]]:
        nonlocal tries
        tries += 1
        patience.spend(len(left))
        for leaf in _preferred(left, path) if tries < TRIES else ():
            if leaf.is_norm and path and path[-1][0].is_norm:
                continue  # nobody normalises twice: the second is of another part
            for reading in readings(leaf, transposed):
                after = step(width, leaf, reading)
                if after is not None and _one_way(width, after, up):
                    rest = [other for other in left if other is not leaf]
                    yield from walk(after, rest, [*path, (leaf, reading)])
        if path and goal(width):
            yield path, left

    return walk(start, list(leaves), [])


def _one_way(width: Width, after: Width, up: bool) -> bool:
    """Whether what draws goes from numbers to planes only, what looks from planes to numbers."""
    return width.planes == after.planes or after.planes == up


def step(width: Width, leaf: Leaf, reading: Reading) -> Width | None:
    """What a layer gives for what it is given; None if it cannot take it."""
    if reading.op == "prelu":
        return width if reading.inputs in (1, width.count) else None
    if leaf.is_norm:
        if reading.op == "layer_norm" and width.planes:
            return None  # of planes it is a group norm, and no file says of how many groups
        if width.count == reading.inputs:
            return width
        if not width.planes and reading.op == "batch_norm" and _square(width, reading):
            return Width(reading.outputs, planes=True)
        return None
    fits = width.count == reading.inputs
    if reading.op == "linear":
        if width.planes:
            fits = is_square(reading.inputs, width.count)
        return Width(reading.outputs) if fits else None
    if not width.planes:
        fits = _square(width, reading)
    return Width(reading.outputs, planes=True) if fits else None


def is_square(numbers: int, channels: int) -> bool:
    """Whether so many numbers are square planes of so many channels."""
    side = math.isqrt(numbers // channels)
    return numbers % channels == 0 and side * side * channels == numbers


def _square(width: Width, reading: Reading) -> bool:
    return is_square(width.count, reading.inputs)


def _preferred(left: Sequence[Leaf], path: Chain) -> list[Leaf]:
    """Those that can be next: first a norm that is called like the layer before it.

    Layers of a Sequential keep its order.
    """
    seen: set[str] = set()
    following: list[Leaf] = []
    for leaf in sorted(left, key=lambda leaf: leaf.place or 0):
        if leaf.place is None or leaf.parent not in seen:
            following.append(leaf)
        if leaf.place is not None:
            seen.add(leaf.parent)
    ready = [leaf for leaf in left if leaf in following]
    if not path or path[-1][0].is_norm:
        return ready
    number = _number(path[-1][0])
    return sorted(ready, key=lambda leaf: not (leaf.is_norm and number and _number(leaf) == number))


def _number(leaf: Leaf) -> str:
    """What tells a layer from its likes: "2" of "decoder.bn2"."""
    return "".join(re.findall(r"\d+", leaf.name.rpartition(".")[2])) if leaf.place is None else ""


def grows(leaves: Sequence[Leaf]) -> bool:
    """Whether layers that can be read both ways are transposed convolutions, by the others."""
    sure = {r.op for leaf in leaves if len(leaf.readings) == 1 for r in leaf.readings}
    return "conv_transpose" in sure or "conv" not in sure


def readings(leaf: Leaf, transposed: bool) -> Sequence[Reading]:
    """How a layer can be read, the likeliest first."""
    first = "conv_transpose" if transposed else "conv"
    if len(leaf.readings) < 2 or leaf.readings[0].op == "conv_transpose":  # its name says so
        return leaf.readings
    return sorted(leaf.readings, key=lambda reading: reading.op != first)
