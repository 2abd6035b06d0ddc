"""The picture that a request begins with instead of noise, and the mask of it. Knows no torch."""

from __future__ import annotations

import base64
import binascii
import io
import warnings

import numpy as np
from PIL import Image, ImageOps

from genlab.requests import UserError

MOST_BASE64 = 6_000_000  # characters: 4.5 MB of file
MOST_SIDE = 4096  # pixels
FORMATS = ("PNG", "JPEG", "WEBP")
PICTURE_FILE = (
    f"a PNG, JPEG or WebP file of at most {MOST_SIDE} x {MOST_SIDE} pixels and 4.5 MB, as base64"
)


def open_picture(written: str) -> Image.Image:
    """The file in a base64 string; only its header is read. Raises ValueError if it is none."""
    try:
        content = base64.b64decode(written, validate=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow's on decompression bombs
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
    except (binascii.Error, OSError, ValueError, SyntaxError, Warning) as error:
        raise ValueError(PICTURE_FILE) from error
    if len(written) > MOST_BASE64 or max(picture.size) > MOST_SIDE:
        raise ValueError(PICTURE_FILE)
    return picture


def read_square(written: str, side: int) -> np.ndarray:
    """The middle square of a picture, uint8 (side, side, 3); raises UserError if it is cut short.

    What is transparent is white.
    """
    picture = _loaded(written).convert("RGBA")
    ground = Image.new("RGBA", picture.size, "white")
    ground.alpha_composite(picture)
    return np.array(ImageOps.fit(ground.convert("RGB"), (side, side), Image.Resampling.LANCZOS))


def read_mask(written: str, side: int) -> np.ndarray:
    """Where a mask is light, bool (side, side); raises UserError as `read_square` does."""
    grey = ImageOps.fit(_loaded(written).convert("L"), (side, side), Image.Resampling.LANCZOS)
    return np.asarray(grey) >= 128


def written_picture(picture: np.ndarray | Image.Image) -> str:
    """A picture as a request has it, uint8 (H, W) or (H, W, 3): a PNG in base64."""
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _loaded(written: str) -> Image.Image:
    picture = open_picture(written)
    try:
        picture.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError("The picture's file is cut short or damaged; send it again.") from error
    return picture
