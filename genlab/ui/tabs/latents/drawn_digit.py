"""A digit that somebody drew, made like those that the networks know. Knows no component."""

from __future__ import annotations

import base64
import binascii

import numpy as np
from PIL import Image

from genlab.requests import UserError

SIDE, BOX = 28, 20  # of MNIST's pictures, and of the box into which each digit was scaled
INK = 32  # grey; less is no ink


def read_digit(text: str) -> np.ndarray:
    """The uint8 (28, 28) picture of 784 grey values in base64; raises UserError if it is none."""
    try:
        greys = base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError):
        greys = b""
    if len(greys) != SIDE * SIDE:
        raise UserError("What was drawn did not arrive whole; draw it again.")
    return np.frombuffer(greys, np.uint8).reshape(SIDE, SIDE)


def centred(picture: np.ndarray) -> np.ndarray:
    """A digit as MNIST has it: scaled into a box of 20 x 20, its centre of mass in the middle.

    (LeCun et al. 1998, Gradient-based learning applied to document recognition.) A picture without
    ink stays as it is.

    Args:
        picture: uint8 (28, 28), white ink on black.
    """
    rows, columns = np.nonzero(picture >= INK)
    if not len(rows):
        return picture
    cut = picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    scale = BOX / max(cut.shape)
    size = [max(1, round(side * scale)) for side in cut.shape[::-1]]
    small = np.asarray(Image.fromarray(cut).resize((size[0], size[1]), Image.Resampling.BILINEAR))
    mass = small.astype(np.float64)
    y, x = (
        round((mass * np.indices(mass.shape)[axis]).sum() / mass.sum() + 0.5) for axis in (0, 1)
    )
    top, left = (
        int(np.clip(SIDE // 2 - middle, 0, SIDE - length))
        for middle, length in ((y, small.shape[0]), (x, small.shape[1]))
    )
    whole = np.zeros((SIDE, SIDE), np.uint8)
    whole[top : top + small.shape[0], left : left + small.shape[1]] = small
    return whole
