"""Why layers are no network that draws: one sentence on what they are instead. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from genlab.formats.metadata import BrokenCheckpoint
from genlab.formats.recognise.drawing import drawings
from genlab.formats.recognise.guesses import CLASSES, Guesses
from genlab.formats.recognise.leaves import Leaf
from genlab.formats.recognise.order import Width, chain

WOULD_FIT = (
    "GenLab recognises fully connected and convolutional VAEs and GANs; any other network goes in "
    "as ONNX (z in, picture out)."
)

AUTOENCODER = (
    "it is a plain autoencoder, which has no distribution of z to draw from; bring a VAE, whose "
    "encoder gives mu and logvar."
)
SHAPING = {"size", "classes"}
"""Corrections that can rule a network out."""


def autoencoder(roles: Mapping[str, Sequence[Leaf]], guesses: Guesses) -> BrokenCheckpoint | None:
    """What to raise for an encoder that gives one code, which a decoder reads as it is."""
    codes = {reading.outputs for leaf in roles["encoder"] for reading in leaf.readings}
    ways = drawings(roles["decoder"], None, None, guesses) if roles["decoder"] else []
    if any(drawing.latent_dim + drawing.label_width in codes for drawing, left in ways if not left):
        return BrokenCheckpoint(AUTOENCODER)
    return None


def only_judges(found: Sequence[Leaf], guesses: Guesses) -> BrokenCheckpoint | None:
    """What to raise for a discriminator, or a classifier, which draw nothing."""
    for channels in (1, 3):
        for outputs in (1, CLASSES):
            ends = partial(_gives, outputs)
            begins = Width(channels, planes=True)
            if chain(found, begins, ends, False, guesses.patience) is not None:
                what = "a discriminator" if outputs == 1 else "a classifier of ten classes"
                return BrokenCheckpoint(
                    f"it is {what} alone, which draws nothing; bring a generator, or a VAE."
                )
    return None


def _gives(outputs: int, width: Width) -> bool:
    return width.count == outputs


def unknown(found: Sequence[Leaf], guesses: Guesses) -> BrokenCheckpoint:
    """What to raise for layers of nothing that is known, with what a person said of them."""
    words = [f"{leaf.name} {_sizes(leaf)}".strip()[:60] for leaf in found[:4]]
    shown = ", ".join(words) + (", ..." if len(found) > 4 else "")
    said = guesses.corrections.model_dump(include=SHAPING, exclude_none=True)
    given = " and ".join(f"{name} {value}" for name, value in said.items())
    return BrokenCheckpoint(
        f"its {len(found)} layers ({shown}) are no network that is known here"
        f"{f' with {given}' if given else ''}. {WOULD_FIT}"
    )


def _sizes(leaf: Leaf) -> str:
    reading = leaf.readings[0]
    return f"{reading.inputs}-{reading.outputs}"
