"""Pictures as HTML with the PNGs inside, so a redraw is one message and nothing flickers.

A gallery of 32 digits would be 32 files and 32 requests, for each of thirty visitors; here it is
one string of a few kilobytes. Large pictures go to Gradio's own gallery instead.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence

import numpy as np

from genlab.images import to_pil


def grid(images: np.ndarray, captions: Sequence[str] = (), columns: int | None = None) -> str:
    """A grid of small pictures, near square unless ``columns`` is given; hover enlarges one.

    Args:
        images: uint8 (N, H, W[, 3]).
        captions: none, or one a picture.
    """
    columns = columns or math.ceil(math.sqrt(len(images)))
    cells = (
        f'<figure><img src="{data_url(image)}" alt="picture {k + 1} of {len(images)}">'
        + (f"<figcaption>{captions[k]}</figcaption>" if captions else "")
        + "</figure>"
        for k, image in enumerate(images)
    )
    rows = math.ceil(len(images) / columns)
    style = f"--columns:{columns};--ratio:{columns}/{rows}"
    return f'<div class="grid" style="{style}">{"".join(cells)}</div>'


def blank(columns: int = 4, rows: int = 4) -> str:
    """The place that a grid will take."""
    return f'<div class="grid blank" style="--columns:{columns};--ratio:{columns}/{rows}"></div>'


def data_url(image: np.ndarray) -> str:
    """A uint8 (H, W[, 3]) picture as a PNG in a data URL, at its own size."""
    file = io.BytesIO()
    to_pil(image).save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
