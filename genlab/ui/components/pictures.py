"""Pictures as HTML: finished ones by their address, previews inside, so that nothing flickers.

In Gradio's gallery 32 digits are 32 files and 32 requests at each move of a slider, for each of
thirty visitors; here previews are one string of a few kilobytes, and a browser keeps what it has
loaded from an address.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from genlab.images import contact_sheet, written_picture
from genlab.requests import SampleRequest
from genlab.ui.picture_store import height_of

SMALL = 128  # pixels; up to here a browser has to enlarge by whole pixels, not to smooth
PREVIEW = 256  # pixels; as high as a picture is where many are shown or it lasts a moment
ZOOMED = 4  # columns; from here a picture grows under the pointer


def grid(
    pictures: np.ndarray | Sequence[str],
    captions: Sequence[str] = (),
    columns: int | None = None,
    *,
    saved_as: Sequence[str] = (),
    alts: Sequence[str] = (),
    name: str = "",
) -> str:
    """A grid of pictures, near square unless ``columns`` is given.

    Args:
        pictures: uint8 (N, H, W[, 3]), or N addresses in a ``PictureStore``.
        captions: none, or one a picture.
        saved_as: none, or the file name of each address: there is a link to save it.
        alts: none, or what each shows, in words.
        name: what they are called together.
    """
    alts = alts or [f"picture {k + 1} of {len(pictures)}" for k in range(len(pictures))]
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    cells = (
        f"<figure>{image(picture, alts[k])}"
        + (_save(picture, saved_as[k]) if saved_as and isinstance(picture, str) else "")
        + (f"<figcaption>{captions[k]}</figcaption>" if captions else "")
        + "</figure>"
        for k, picture in enumerate(pictures)
    )
    looks = "grid zoom" if columns >= ZOOMED else "grid"
    group = f' role="group" aria-label="{escape(name)}"' if name else ""
    return f'<div class="{looks}"{group} style="--columns:{columns}">{"".join(cells)}</div>'


def image(picture: np.ndarray | str, alt: str = "") -> str:
    """One picture as an ``img``: uint8 (H, W[, 3]) inside it, or from its address."""
    address, height = (
        (picture, height_of(picture))
        if isinstance(picture, str)
        else (data_url(picture), picture.shape[0])
    )
    looks = ' class="pixels"' if height <= SMALL else ""
    return f'<img{looks} src="{address}" alt="{escape(alt)}" decoding="sync">'


def file_names(request: SampleRequest) -> list[str]:
    """What each of a request's pictures is called when it is saved: its model and its own seed."""
    own = (request.for_image(k) for k in range(request.count))
    return [f"{request.checkpoint}-{one.seed}.png" for one in own]


def _save(address: str, name: str) -> str:
    seed = name.rpartition("-")[2].removesuffix(".png")
    return (
        f'<a class="save" href="{address}" download="{escape(name)}" title="Save with its recipe" '
        f'aria-label="Save the picture of seed {escape(seed)} with its recipe"></a>'
    )


def sheet(images: np.ndarray, alt: str = "") -> str:
    """Pictures in one row, as one picture, to be set above another row of the same length."""
    row = np.asarray(contact_sheet(list(images), columns=len(images)))
    return grid(row[None], alts=[alt])


def blank(columns: int = 4, rows: int = 4, words: str = "Nothing drawn yet") -> str:
    """The place that a grid will take."""
    return f'<div class="blank" style="--ratio:{columns}/{rows}">{words}</div>'


def reduced(picture: np.ndarray) -> np.ndarray:
    """A uint8 (H, W[, 3]) picture thinned to at most PREVIEW pixels a side."""
    step = -(-max(picture.shape[:2]) // PREVIEW)
    return picture[::step, ::step]


def data_url(picture: np.ndarray) -> str:
    """A uint8 (H, W[, 3]) picture as a PNG in a data URL: for what is small or lasts a moment."""
    return "data:image/png;base64," + written_picture(np.ascontiguousarray(picture))
