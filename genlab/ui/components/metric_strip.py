"""The figures under a gallery, as HTML without script: tiles and small charts.

Knows no model and measures nothing: a result brings its figures, and the description of its family
says which of them are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from genlab.evaluation.figures import (
    BEFOREHAND,
    CLASSES,
    CONFIDENCE,
    ENOUGH,
    FID,
    JUDGED,
    SECONDS,
    SHARPNESS,
    WORDS,
    Figure,
)

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
    tiles = [tile for figure in present for tile in _tiles(figure, figures)]
    charts = [_chart(figure, figures) for figure in present if figure.look in CHARTS]
    if not tiles and not charts:
        return ""
    return (
        f'<div class="strip"><div class="tiles">{"".join(tiles)}</div>'
        f"{_sources(figures, present)}{''.join(charts)}</div>"
    )


def _sources(figures: Mapping[str, Any], present: Sequence[Figure]) -> str:
    """Of how many pictures the figures are, and when they were measured; "" if nobody says."""
    parts = []
    if JUDGED in figures and not _too_few(figures):
        parts.append(f"Measured on {figures[JUDGED]:,} samples of this model.")
    elif JUDGED in figures:
        count = figures[JUDGED]
        shown = "the picture shown" if count == 1 else f"the {count} pictures shown"
        few = ": too few to say which classes are missing" if CLASSES in present else ""
        parts.append(f"Measured now on {shown}{few}.")
    if FID in present and BEFOREHAND in figures:
        parts.append(f"FID was measured beforehand on {figures[BEFOREHAND]:,.0f} samples.")
    return f'<p class="note">{" ".join(parts)}</p>' if parts else ""


def _too_few(figures: Mapping[str, Any]) -> bool:
    return figures.get(JUDGED, ENOUGH) < ENOUGH


def compact(figures: Mapping[str, Any], unknown: Mapping[str, str] | None = None) -> str:
    """The strip for a narrow place, as HTML: always the same lines, so that strips can be compared.

    Args:
        figures: of a result; and ``seconds``, how long it took.
        unknown: why a figure has a dash, by its key; said when the dash is pointed at.
    """
    seen = figures.get(CLASSES.key, {})
    few = _too_few(figures)
    covered = "in {}" if few else "of {}"
    lines: dict[str, tuple[str, Callable[[Any], str]]] = {
        SECONDS.key: (SECONDS.title, duration),
        SHARPNESS.key: (SHARPNESS.title, lambda _: in_brief(SHARPNESS, figures)),
        CONFIDENCE.key: (CONFIDENCE.title, lambda value: written(CONFIDENCE, value)),
        COVERED: (
            "Classes",
            lambda value: f"{value} {covered.format(figures[JUDGED] if few else len(seen))}",
        ),
        FID.key: (FID.title, lambda value: f"{value:.2f}"),
    }

    def line(key: str) -> str:
        name, write = lines[key]
        if key in figures:
            return f"<dt>{name}</dt><dd>{write(figures[key])}</dd>"
        why = escape((unknown or {}).get(key, "not known"))
        return f'<dt>{name}</dt><dd title="{why}">–</dd>'

    shares = list(seen.items()) or [(str(k), 0.0) for k in range(10)]
    now = f"of {figures[JUDGED]:,} samples" if JUDGED in figures else "of this run"
    then = f"of {figures[BEFOREHAND]:,.0f} beforehand" if BEFOREHAND in figures else "beforehand"
    return (
        f'<div class="strip compact"><dl>{line(SECONDS.key)}</dl>'
        f"<p>{now}</p><dl>{line(SHARPNESS.key)}{line(CONFIDENCE.key)}{line(COVERED)}</dl>"
        f"{_bars('', shares, few=few)}<p>{then}</p><dl>{line(FID.key)}</dl></div>"
    )


def in_brief(figure: Figure, figures: Mapping[str, Any]) -> str:
    """What is shown of a figure that is among a result's: its value, or the word in its place."""
    return figures.get(figure.word) or written(figure, figures[figure.key])


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


def _tiles(figure: Figure, figures: Mapping[str, Any]) -> list[str]:
    """One tile, or one for each of its parts; none for a chart."""
    if figure.look in CHARTS:
        return []
    if word := figures.get(figure.word):
        return [_tile(figure.title, word, WORDS[word])]
    value = figures[figure.key]
    if figure.look == "percents":
        return [
            _tile(name.capitalize(), written(figure, part), figure.note, part / 100)
            for name, part in value.items()
        ]
    whole = {"share": 1, "percent": 100}.get(figure.look)
    filled = None if whole is None else value / whole
    return [_tile(figure.title, written(figure, value), figure.note, filled)]


def _chart(figure: Figure, figures: Mapping[str, Any]) -> str:
    value, few = figures[figure.key], _too_few(figures)
    samples = f"{figures[JUDGED]:,} samples" if JUDGED in figures else ""
    if figure.look == "scores":
        names = ["fake", *[""] * (len(value) - 2), "real"]
        shares = list(zip(names, value, strict=True))
        title = figure.title + (f" of {samples}" if samples else "")
        return _bars(title, shares, key=figure.note, few=few)
    known = COVERED in figures and not few  # of few pictures some are missing by chance
    covered = f": {figures[COVERED]} of {len(value)}" if known else ""
    title = figure.title + covered + (f" in {samples}" if samples else "")
    return _bars(title, list(value.items()), 1 / len(value), figure.note, few)


def _tile(name: str, value: str, what: str, filled: float | None = None) -> str:
    line = "" if filled is None else bar(filled)
    return f'<div class="tile"><span>{name}</span><b>{value}</b><small>{what}</small>{line}</div>'


def _bars(
    title: str,
    shares: Sequence[tuple[str, float]],
    even: float = 0,
    key: str = "",
    few: bool = False,
) -> str:
    """Vertical bars; ``even`` draws a dashed line at that share, ``key`` explains.

    Those of too ``few`` pictures are grey.
    """
    top = max(0.25, *(share for _, share in shares))
    columns = "".join(
        f'<div title="{escape(name)} {share:.0%}"><i style="height:{share / top:.1%}"></i>'
        f"<span>{escape(name[:SHORT])}</span></div>"
        for name, share in shares
    )
    spoken = ", ".join(f"{name} {share:.0%}" for name, share in shares)
    dashed = f'<hr style="bottom:{even / top:.1%}">' if even else ""
    return (
        f"<figure{' class=few' if few else ''}><figcaption>{title}<em>{key}</em></figcaption>"
        f'<div class="plot" role="img" '
        f'aria-label="{escape(spoken)}">{columns}{dashed}</div></figure>'
    )
