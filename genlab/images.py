"""Arrays to pictures and contact sheets. Knows no model, no tensor and no file."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image


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
