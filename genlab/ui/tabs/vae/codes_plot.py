"""The plane of 2-D codes as HTML: decoded digits, codes by class over them, N(0, I) over both.

Its axes are the same in x and y. ``plane.js`` moves the mark and makes the plane answer to touch.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np

from genlab.images import contact_sheet

COLOURS = (
    "#4e79a7", "#f28e2b", "#e15759", "#2fa39c", "#59a14f",
    "#c9a400", "#b07aa1", "#ff7f96", "#9c755f", "#8f8f8f",
)  # fmt: skip
INK = "#8a93a3"  # 4:1 or better on white and on slate
NEAR = 4.0  # reach of the axes where samples come from: 0.1 in a thousand lies outside
TILES = 16  # decoded pictures along each axis
QUALITY = 70  # of the JPEG: 16 x 16 digits in some 30 kB


def farthest(codes: Sequence[np.ndarray]) -> float:
    """The reach of axes, a whole number, that hold all codes (N, 2), and N(0, I) in any case."""
    return float(np.ceil(max(NEAR, *(np.abs(mu).max() * 1.03 for mu in codes))))


def grid_codes(reach: float) -> np.ndarray:
    """The codes, float32 (TILES^2, 2), in the middles of the plane's tiles, row by row from above.

    z1 grows to the right, z2 upwards.
    """
    along = (np.arange(TILES, dtype=np.float32) + 0.5) * (2 * reach / TILES) - reach
    z1, z2 = np.meshgrid(along, along[::-1])
    return np.stack([z1.ravel(), z2.ravel()], axis=1)


def empty_plane() -> str:
    """Axes and circles without any code, so that the page does not jump later."""
    return _plane(NEAR, "", "", "<p>&nbsp;</p>", "An empty plane with N(0, I)")


def plane(
    mu: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    decoded: np.ndarray,
    reach: float,
) -> str:
    """Means of q(z | x) as dots over what the decoder makes of each place.

    Args:
        mu: (N, 2).
        labels: (N,), indices into ``classes``.
        decoded: uint8 (TILES^2, H, W[, 3]), of ``grid_codes(reach)``.
        reach: of both axes, from -reach to reach.
    """
    alt = f"{len(mu):,} codes of test pictures over {TILES} by {TILES} decoded ones"
    dots, caption = _dots(mu, labels, classes, reach)
    return _plane(reach, _manifold(decoded, reach), dots, caption, alt)


def codes_alone(
    mu: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    reach: float,
    own: tuple[float, float],
    itself: np.ndarray,
) -> str:
    """The codes without decoded pictures, and the mark at a code of one's own; see ``plane``.

    The nearest code that is named is another picture's, one that is not ``itself``, bool (N,).
    """
    dots, caption = _dots(mu, labels, classes, reach)
    away = np.where(itself, np.inf, np.hypot(mu[:, 0] - own[0], mu[:, 1] - own[1]))
    name = classes[int(labels[away.argmin()])]
    told = f"Nearest test code: class {name}, {away.min():.2f} away."
    alt = f"{len(mu):,} codes of test pictures, and that of this one"
    return _plane(reach, "", dots, caption, alt, told, own)


def _dots(
    mu: np.ndarray, labels: np.ndarray, classes: Sequence[str], reach: float
) -> tuple[str, str]:
    """A path of dots for each class, and what stands under the plane."""
    inside = np.abs(mu).max(axis=1) <= reach
    dots, legend = "", ""
    for label, name in enumerate(classes):
        colour = COLOURS[label % len(COLOURS)]
        mine = mu[(labels == label) & inside].tolist()
        moves = "".join(f"M{x:.3f} {-y:.3f}h0" for x, y in mine)
        dots += f'<path data-class="{escape(name)}" style="stroke:{colour}" d="{moves}"/>'
        legend += f'<span><i style="background:{colour}"></i>{escape(name)}</span>'
    outside = int((~inside).sum())
    told = f"<p>{outside:,} of {len(mu):,} codes lie outside of this plane.</p>"
    return dots, f"<p>{legend}</p>{told}"


def _manifold(decoded: np.ndarray, reach: float) -> str:
    """The decoded grid as one picture that fills the plane."""
    file = io.BytesIO()
    contact_sheet(list(decoded), columns=TILES, gap=0).save(file, format="JPEG", quality=QUALITY)
    url = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
    side = f'x="{-reach}" y="{-reach}" width="{2 * reach}" height="{2 * reach}"'
    return f'<image href="{url}" {side} preserveAspectRatio="none"/>'


def _plane(
    reach: float, manifold: str, dots: str, caption: str, alt: str, told: str = "&nbsp;",
    at: tuple[float, float] = (0.0, 0.0),
) -> str:  # fmt: skip
    circles = "".join(f'<circle r="{radius}"/>' * 2 for radius in (1, 2, 3))
    ends = "".join(
        f'<span class="{where}">{value}</span>'
        for where, value in (
            ("left", f"−{reach:g}"), ("middle", "z₁"), ("right", f"{reach:g}"),
            ("top", f"{reach:g}"), ("center", "z₂"), ("bottom", f"−{reach:g}"),
        )
    )  # fmt: skip
    return (
        f'<figure class="plane" data-reach="{reach:g}" style="--reach:{reach:g};'
        f'--z1:{at[0]:.3f};--z2:{at[1]:.3f}">'
        f'<div class="frame"><svg viewBox="{-reach} {-reach} {2 * reach} {2 * reach}" role="img" '
        f'aria-label="{alt}">{manifold}<g class="dots">{dots}</g>'
        f'<g class="prior">{circles}</g></svg><i class="mark"></i>{ends}</div>'
        f'<figcaption><p class="nearest">{told}</p>{caption}</figcaption></figure>'
    )
