"""The part of a network that makes pictures of z, found among its layers. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genlab.formats.recognise.geometry import Step, fit
from genlab.formats.recognise.guesses import CLASSES, USUAL_CODES, Guesses, image_of, unusual
from genlab.formats.recognise.leaves import Leaf
from genlab.formats.recognise.order import Chain, Width, chains, grows, readings

MOST_WAYS = 200  # that are looked at
FITTING = 50  # looks that it costs to find the geometry of a layer


@dataclass(frozen=True)
class Drawing:
    """The part that makes pictures of z."""

    chain: Chain
    steps: list[Step]
    latent_dim: int
    label_width: int
    image: tuple[int, int, int]


def drawings(
    found: Sequence[Leaf],
    latent_dim: int | None,
    table: Leaf | None,
    guesses: Guesses,
    partial: bool = False,
) -> list[tuple[Drawing, list[Leaf]]]:
    """Every way to draw with layers, and those left over; the most usual pictures come first.

    Args:
        latent_dim: of z; None: what the first layer takes, less what it is told of a class.
        partial: whether some may be left over.
    """
    size = guesses.corrections.size

    def is_picture(width: Width) -> bool:
        if width.planes:
            return width.count in (1, 3)
        return image_of(width.count, size) is not None

    found_ways: list[tuple[Drawing, list[Leaf]]] = []
    layers = [leaf for leaf in found if not leaf.is_norm]
    firsts = [reading.inputs for leaf in layers for reading in readings(leaf, grows(found))]
    for first in dict.fromkeys(firsts if latent_dim is None else sorted(firsts)):
        labels = _label_width(first, latent_dim, table, guesses)
        if labels is None:
            continue
        for way, left in chains(found, Width(first), is_picture, True, guesses.patience):
            if (left and not partial) or way[0][1].op == "conv" or way[0][1].inputs != first:
                continue
            guesses.patience.spend(FITTING * len(way))
            placed = fit(way, (first, 0), True, lambda state: _end(state, size))
            if placed is None:
                continue
            steps, (channels, side) = placed
            image = (channels, side, side) if side else image_of(channels, size)
            assert image is not None
            multiplied = table is not None and table.readings[0].inputs == first
            code = first if multiplied else first - labels
            told = 0 if multiplied else labels
            found_ways.append((Drawing(way, steps, code, told, image), left))
            if len(found_ways) >= MOST_WAYS:
                break

    def odd(found: tuple[Drawing, list[Leaf]]) -> tuple[int, float]:
        drawing, left = found
        ops = [reading.op for _, reading in drawing.chain]
        strangers = sum(leaf.readings[0].op == "conv_transpose" for leaf in left)
        if partial and "conv_transpose" in ops:  # then the convolutions are the encoder's
            strangers += ops.count("conv")
        return strangers, unusual(drawing.image[:2], size) or 0.0

    return sorted(found_ways, key=odd)


def _end(state: tuple[int, int], size: int | None) -> float | None:
    """How unusual it is to end with this: planes of a picture, or the numbers of one."""
    if state[1]:
        return unusual(state, size)
    return 0.0 if image_of(state[0], size) else None


def _label_width(
    first: int, latent_dim: int | None, table: Leaf | None, guesses: Guesses
) -> int | None:
    """How many of the numbers that the first layer takes tell it a class; None: it does not fit."""
    said = guesses.corrections.classes
    if table is not None:
        width = table.readings[0].inputs
        fits = first == width or first - width >= 1
        if latent_dim is not None:
            fits = first in (latent_dim, latent_dim + width)
        return width if fits else None
    if latent_dim is not None:
        labels = first - latent_dim
        allowed = range(2, 101) if said is None else (said,)
        return labels if labels == 0 or labels in allowed else None
    if said is not None:
        return said if first > said else None
    usual = first in USUAL_CODES or first - CLASSES not in USUAL_CODES
    return 0 if usual else CLASSES
