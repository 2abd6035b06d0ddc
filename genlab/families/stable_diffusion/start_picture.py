"""The picture that a request begins with and its mask, as arrays of a model's size. No torch."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

from genlab.images import open_picture
from genlab.requests import UserError


def read_square(written: str, side: int) -> np.ndarray:
    """The middle square of a picture file in base64, uint8 (side, side, 3).

    What is transparent is white. Raises UserError if the file is cut short.
    """
    picture = _loaded(written).convert("RGBA")
    ground = Image.new("RGBA", picture.size, "white")
    ground.alpha_composite(picture)
    return np.array(ImageOps.fit(ground.convert("RGB"), (side, side), Image.Resampling.LANCZOS))


def read_mask(written: str, side: int) -> np.ndarray:
    """Where a mask is light, bool (side, side); raises UserError as `read_square` does."""
    grey = ImageOps.fit(_loaded(written).convert("L"), (side, side), Image.Resampling.LANCZOS)
    return np.asarray(grey) >= 128


def _loaded(written: str) -> Image.Image:
    picture = open_picture(written)
    try:
        picture.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError("The picture's file is cut short or damaged; send it again.") from error
    return picture
