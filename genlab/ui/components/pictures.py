"""Pictures as HTML with the PNGs inside, so a redraw is one message and nothing flickers.

In Gradio's gallery 32 digits are 32 files and 32 requests, for each of thirty visitors at once,
and again at each move of a slider; here they are one string of a few kilobytes.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from html import escape

import numpy as np

from genlab.generation_metadata import Recipe, to_png
from genlab.images import contact_sheet, to_pil

SMALL = 128  # pixels; up to here a browser has to enlarge by whole pixels, not to smooth
PREVIEW = 256  # pixels; as high as a picture is where many are shown or it lasts a moment
ZOOMED = 4  # columns; from here a picture grows under the pointer


SAVE = "this.href = this.parentNode.querySelector('img').src"
"""The link that saves a picture takes it from beside itself, so that it is in the page once."""


def grid(
    images: np.ndarray,
    captions: Sequence[str] = (),
    columns: int | None = None,
    recipes: Sequence[Recipe] = (),
) -> str:
    """A grid of pictures, near square unless ``columns`` is given.

    Args:
        images: uint8 (N, H, W[, 3]).
        captions: none, or one a picture.
        recipes: none, or one a picture: it is inside the PNG, and there is a link to save it.
    """
    columns = columns or math.ceil(math.sqrt(len(images)))
    told = [*recipes, *[None] * (len(images) - len(recipes))]
    cells = (
        f'<figure><img src="{data_url(image, recipe)}" alt="picture {k + 1} of {len(images)}">'
        + (_save(recipe) if recipe is not None else "")
        + (f"<figcaption>{captions[k]}</figcaption>" if captions else "")
        + "</figure>"
        for k, (image, recipe) in enumerate(zip(images, told, strict=True))
    )
    looks = ["grid"]
    looks += ["pixels"] if images.shape[1] <= SMALL else []
    looks += ["zoom"] if columns >= ZOOMED else []
    return f'<div class="{" ".join(looks)}" style="--columns:{columns}">{"".join(cells)}</div>'


def _save(recipe: Recipe) -> str:
    name = escape(f"{recipe.request.checkpoint}-{recipe.request.seed}.png")
    return (
        f'<a class="save" href="#" download="{name}" onclick="{SAVE}" title="Save with its recipe" '
        f'aria-label="Save the picture of seed {recipe.request.seed} with its recipe"></a>'
    )


def sheet(images: np.ndarray) -> str:
    """Pictures in one row, as one picture, to be set above another row of the same length."""
    row = np.asarray(contact_sheet(list(images), columns=len(images)))
    return grid(row[None])


def blank(columns: int = 4, rows: int = 4, words: str = "Nothing drawn yet") -> str:
    """The place that a grid will take."""
    return f'<div class="blank" style="--ratio:{columns}/{rows}">{words}</div>'


def reduced(picture: np.ndarray) -> np.ndarray:
    """A uint8 (H, W[, 3]) picture thinned to at most PREVIEW pixels a side."""
    step = -(-max(picture.shape[:2]) // PREVIEW)
    return picture[::step, ::step]


def data_url(image: np.ndarray, recipe: Recipe | None = None) -> str:
    """A uint8 (H, W[, 3]) picture as a PNG, with its recipe if there is one, in a data URL."""
    if recipe is None:
        file = io.BytesIO()
        to_pil(image).save(file, format="PNG")
        content = file.getvalue()
    else:
        content = to_png(image, recipe)
    return "data:image/png;base64," + base64.b64encode(content).decode()
