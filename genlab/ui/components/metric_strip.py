"""The figures under a gallery, as HTML without script: tiles and small charts.

Knows no model and measures nothing: a result brings its figures, and the description of its family
says which of them are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from genlab.evaluation.figures import CLASSES, CONFIDENCE, FID, SECONDS, SHARPNESS, Figure

SHORT = 4  # letters of a class name that fit under a bar
COVERED = "classes_above_2_percent"
"""How many classes of a histogram occur; it stands in the histogram's title."""
CHARTS = ("classes", "scores")


def strip(figures: Mapping[str, Any], shown: Sequence[Figure]) -> str:
    """The strip as HTML; "" when nothing is known.

    Args:
        figures: of a result; JSON values by key.
        shown: which of them, in order; tiles stand above charts.
    """
    present = [figure for figure in shown if figure.key in figures]
    tiles = [tile for figure in present for tile in _tiles(figure, figures[figure.key])]
    charts = [_chart(figure, figures) for figure in present if figure.look in CHARTS]
    if not tiles and not charts:
        return ""
    return f'<div class="strip"><div class="tiles">{"".join(tiles)}</div>{"".join(charts)}</div>'


def compact(figures: Mapping[str, Any], unknown: Mapping[str, str] | None = None) -> str:
    """The strip for a narrow place, as HTML: always the same lines, so that strips can be compared.

    Args:
        figures: of a result; and ``seconds``, how long it took.
        unknown: why a figure has a dash, by its key; said when the dash is pointed at.
    """
    seen = figures.get(CLASSES.key, {})
    lines: dict[str, tuple[str, Callable[[Any], str]]] = {
        SECONDS.key: (SECONDS.title, duration),
        FID.key: (FID.title, lambda value: f"{value:.2f}"),
        SHARPNESS.key: (SHARPNESS.title, lambda value: written(SHARPNESS, value)),
        CONFIDENCE.key: (CONFIDENCE.title, lambda value: written(CONFIDENCE, value)),
        COVERED: ("Classes", lambda value: f"{value} of {len(seen)}"),
    }
    rows = []
    for key, (name, write) in lines.items():
        if key in figures:
            rows.append(f"<dt>{name}</dt><dd>{write(figures[key])}</dd>")
        else:
            why = escape((unknown or {}).get(key, "not known"))
            rows.append(f'<dt>{name}</dt><dd title="{why}">–</dd>')
    shares = list(seen.items()) or [(str(k), 0.0) for k in range(10)]
    return f'<div class="strip compact"><dl>{"".join(rows)}</dl>{_bars("", shares)}</div>'


def written(figure: Figure, value: Any) -> str:
    """A figure's single value in a few characters."""
    if figure.look == "time":
        return duration(value)
    if figure.look == "share":
        return f"{100 * value:.0f} %"
    if figure.look in ("percent", "percents"):
        return f"{value:.0f} %"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """A time in two or three digits: "0.33 ms", "38 ms", "1.25 s"."""
    if seconds < 0.01:
        return f"{1000 * seconds:.2g} ms"
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.3g} s"


def bar(done: float) -> str:
    """A bar that is filled from 0 to 1."""
    return f'<div class="bar"><i style="width:{min(done, 1):.0%}"></i></div>'


def _tiles(figure: Figure, value: Any) -> list[str]:
    """One tile, or one for each of its parts; none for a chart."""
    if figure.look in CHARTS:
        return []
    if figure.look == "percents":
        return [
            _tile(name.capitalize(), written(figure, part), figure.note, part / 100)
            for name, part in value.items()
        ]
    whole = {"share": 1, "percent": 100}.get(figure.look)
    filled = None if whole is None else value / whole
    return [_tile(figure.title, written(figure, value), figure.note, filled)]


def _chart(figure: Figure, figures: Mapping[str, Any]) -> str:
    value = figures[figure.key]
    if figure.look == "scores":
        return _bars(figure.title, _deciles(value), key=figure.note)
    covered = f": {figures[COVERED]} of {len(value)}" if COVERED in figures else ""
    return _bars(figure.title + covered, list(value.items()), 1 / len(value), figure.note)


def _deciles(scores: Sequence[float]) -> list[tuple[str, float]]:
    """Shares of scores in ten equal bins from 0, surely fake, to 1, surely real."""
    counts, _ = np.histogram(scores, bins=10, range=(0, 1))
    names = ["fake", *[""] * 8, "real"]
    return [(name, float(n) / len(scores)) for name, n in zip(names, counts, strict=True)]


def _tile(name: str, value: str, what: str, filled: float | None = None) -> str:
    line = "" if filled is None else bar(filled)
    return f'<div class="tile"><span>{name}</span><b>{value}</b><small>{what}</small>{line}</div>'


def _bars(title: str, shares: Sequence[tuple[str, float]], even: float = 0, key: str = "") -> str:
    """Vertical bars; ``even`` draws a dashed line at that share, ``key`` explains."""
    top = max(0.25, *(share for _, share in shares))
    columns = "".join(
        f'<div title="{escape(name)} {share:.0%}"><i style="height:{share / top:.1%}"></i>'
        f"<span>{escape(name[:SHORT])}</span></div>"
        for name, share in shares
    )
    spoken = ", ".join(f"{name} {share:.0%}" for name, share in shares)
    dashed = f'<hr style="bottom:{even / top:.1%}">' if even else ""
    return (
        f'<figure><figcaption>{title}<em>{key}</em></figcaption><div class="plot" role="img" '
        f'aria-label="{escape(spoken)}">{columns}{dashed}</div></figure>'
    )
