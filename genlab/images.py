"""Arrays to pictures and contact sheets, and picture files as text. Knows no model, no tensor."""

from __future__ import annotations

import base64
import binascii
import io
import math
import warnings
from collections.abc import Sequence

import numpy as np
from PIL import Image

MOST_BASE64 = 2_000_000  # characters: 1.5 MB of file
MOST_SIDE = 2048  # pixels
FORMATS = ("PNG", "JPEG", "WEBP")
PICTURE_FILE = f"a PNG, JPEG or WebP file of at most {MOST_SIDE} x {MOST_SIDE} pixels and 1.5 MB"


def to_pil(image: np.ndarray, size: int | None = None) -> Image.Image:
    """One uint8 (H, W[, 3]) picture; enlarged to ``size`` pixels high by whole pixels if asked."""
    picture = Image.fromarray(image)
    if size is None or size <= picture.height:
        return picture
    scale = size // picture.height
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def to_png(image: np.ndarray) -> bytes:
    """One uint8 (H, W[, 3]) picture as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    return file.getvalue()


def from_png(content: bytes) -> np.ndarray:
    """The picture of a file that ``to_png`` has made."""
    return np.array(Image.open(io.BytesIO(content), formats=["PNG"]))


def contact_sheet(
    images: Sequence[np.ndarray], columns: int | None = None, gap: int = 2
) -> Image.Image:
    """Pictures of one size in rows of ``columns`` (default: near square) on a dark ground."""
    columns = columns or math.ceil(math.sqrt(len(images)))
    height, width = images[0].shape[:2]
    rows = math.ceil(len(images) / columns)
    mode = "L" if images[0].ndim == 2 else "RGB"
    sheet = Image.new(mode, (columns * (width + gap) - gap, rows * (height + gap) - gap))
    for k, image in enumerate(images):
        row, column = divmod(k, columns)
        sheet.paste(Image.fromarray(image), (column * (width + gap), row * (height + gap)))
    return sheet


def open_picture(written: str) -> Image.Image:
    """The picture file in a base64 string, its header alone read so far.

    Raises ValueError(PICTURE_FILE) for what is none.
    """
    if len(written) > MOST_BASE64:
        raise ValueError(PICTURE_FILE)
    try:
        content = base64.b64decode(written, validate=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow's on decompression bombs
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
    except (binascii.Error, OSError, ValueError, SyntaxError, Warning) as error:
        raise ValueError(PICTURE_FILE) from error
    if max(picture.size) > MOST_SIDE:
        raise ValueError(PICTURE_FILE)
    return picture


def written_picture(picture: np.ndarray) -> str:
    """A uint8 (H, W[, 3]) picture as a PNG file in a base64 string."""
    return base64.b64encode(to_png(picture)).decode()
