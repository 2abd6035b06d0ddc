"""A row of pictures for one value of a setting, with its figures. Knows no request, no tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr

from genlab.engine.events import Result
from genlab.evaluation.figures import SHARPNESS
from genlab.ui.cells import CellView
from genlab.ui.components.alt_text import READ
from genlab.ui.components.metric_strip import duration, in_brief
from genlab.ui.components.pictures import blank, grid
from genlab.ui.components.run_button import Draw

ACROSS = 10  # pictures shown of a request, its first ones
WIDE, NARROW = "rung", "rung narrow"  # the looks of a row; narrow is for half the width


def empty_row(name: str, title: str, looks: str = WIDE) -> list[gr.components.Component]:
    """The row before anything is drawn; ``name`` is its element id."""
    return [gr.HTML(_row(title, blank(ACROSS, 1), "", looks), elem_id=name, elem_classes=["flush"])]


def rows_of(titles: Sequence[str], figures: Sequence[str], looks: str = WIDE) -> Draw:
    """Draws the row of cell k: its title, its first pictures, and those of FIGURES."""

    def draw(k: int, view: CellView) -> Sequence[Any] | None:
        if view.done:
            seen = view.results[0].figures.get(READ, ())
            alts = [
                f"{titles[k]}, picture {n + 1}" + (f": the judge sees {seen[n]}" if seen else "")
                for n in range(len(view.pictures[:ACROSS]))
            ]
            pictures = grid(view.pictures[:ACROSS], columns=ACROSS, alts=alts)
            texts = [text for name in figures if (text := FIGURES[name](view.results[0]))]
        elif (previews := view.previews) is not None:
            pictures, texts = grid(previews[:ACROSS], columns=ACROSS), []
        else:
            return None
        words = "".join(f"<span>{text}</span>" for text in texts)
        return [_row(titles[k], pictures, words, looks)]

    return draw


def _row(title: str, pictures: str, words: str, looks: str) -> str:
    return f'<div class="{looks}"><b>{title}</b>{pictures}<p>{words}</p></div>'


def _accuracy(result: Result) -> str:
    right = result.figures.get("as_asked_percent", {}).get("class")
    if right is None:
        return ""
    count = len(result.images)
    of_all = f" of {count}" if count > ACROSS else ""  # more than those that are shown
    return f"{right:.0f} %{of_all} as asked"


def _sharpness(result: Result) -> str:
    if SHARPNESS.word in result.figures:
        return result.figures[SHARPNESS.word]
    known = SHARPNESS.key in result.figures
    return f"sharpness {in_brief(SHARPNESS, result.figures)}" if known else ""


def _figure(key: str, write: Callable[[float], str]) -> Callable[[Result], str]:
    def text(result: Result) -> str:
        return write(result.figures[key]) if key in result.figures else ""

    return text


FIGURES: Mapping[str, Callable[[Result], str]] = {
    "seconds": lambda result: duration(result.seconds),
    "accuracy": _accuracy,
    "sharpness": _sharpness,
    "diversity": _figure("diversity", lambda value: f"diversity {value:.2f}"),
}
