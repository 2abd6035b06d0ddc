"""A grid on the page: a table of pictures that fills in, its labels always in sight. No tensor."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from PIL.PngImagePlugin import PngInfo

from genlab.diffusion.schedulers import SCHEDULERS
from genlab.engine.events import Progress
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.generation_metadata import KEY, GenerationMetadata
from genlab.ui.cells import CellView
from genlab.ui.components.contact_sheet import labelled_sheet
from genlab.ui.components.pictures import image, reduced
from genlab.ui.tabs.stable_diffusion.axes import AXES, Axis, PictureGrid

SETTINGS = (
    "num_inference_steps", "guidance_scale", "scheduler", "seed", "negative_prompt",
)  # fmt: skip
"""What a cell shows of itself, and gives to the controls."""

ROUNDING = 2
"""Levels of 255 by which a picture may differ when it shares its calls with others."""

PICK = """element.addEventListener("click", event => {
    const cell = event.target.closest("button[data-cell]");
    if (!cell) return;
    const picture = cell.querySelector("img")?.getAttribute("src") ?? "";
    trigger("select", {settings: JSON.parse(cell.dataset.cell), picture});
});"""
"""Client-side: a click, or Enter or Space on a focused cell, selects its settings."""

ADDRESS = re.compile(r"pictures/[0-9a-f]{64}-\d+\.png")
"""Of a finished picture; whatever else a browser may send is not shown."""


def twins(grid: PictureGrid, views: Sequence[CellView]) -> tuple[list[int | None], ...]:
    """For each column, and for each row, an earlier one with the same pictures; None if it is new.

    Those that are not all drawn are new.
    """
    places = np.arange(len(views)).reshape(len(grid.rows.values), len(grid.columns.values))
    return tuple(
        [
            next((k for k in range(n) if _same(views, lines[k], lines[n])), None)
            for n in range(len(lines))
        ]
        for lines in (places.T, places)
    )


def _same(views: Sequence[CellView], one: np.ndarray, other: np.ndarray) -> bool:
    pairs = [(views[i], views[j]) for i, j in zip(one, other, strict=True)]
    return all(a.done and b.done and _alike(a, b) for a, b in pairs)


def _alike(one: CellView, other: CellView) -> bool:
    a, b = (reduced(view.results[0].images[0]).astype(np.int16) for view in (one, other))
    return a.shape == b.shape and int(np.abs(a - b).max()) <= ROUNDING


def labels_of(axis: Axis, same_as: Sequence[int | None]) -> list[str]:
    """An axis' values in words, with the earlier one that a value draws the same pictures as."""
    return [
        label if k is None else f"{label}, as {axis.labels[k]}"
        for label, k in zip(axis.labels, same_as, strict=True)
    ]


def sameness(axis: Axis, same_as: Sequence[int | None]) -> str:
    """A note that names the values with the same pictures, and why where it is known; "" if none.

    As HTML.
    """
    pairs = [(axis.values[k], value) for k, value in zip(same_as, axis.values, strict=True)
             if k is not None]  # fmt: skip
    if not pairs:
        return ""
    unguided = axis.name == "guidance_scale" and all(max(pair) <= 1 for pair in pairs)
    why = (
        "at 1 and less there is no guidance, and the prompt is still told"
        if unguided
        else "here this setting changes nothing"
    )
    listed = ", ".join(
        f"{_in_words(axis.name, value)} as {_in_words(axis.name, first)}" for first, value in pairs
    )
    return f'<p class="note">Same pictures at {axis.title} {escape(listed)}: {why}.</p>'


def table_html(grid: PictureGrid, views: Sequence[CellView]) -> str:
    """The table as it stands, one view a picture; what is drawn twice is pointed out."""
    columns, rows = grid.columns, grid.rows
    of_columns, of_rows = twins(grid, views)
    width = len(columns.values)
    cells = [_cell(*pair) for pair in zip(grid.requests, views, strict=True)]
    head = "".join(
        f'<th scope="col">{escape(label)}</th>' for label in labels_of(columns, of_columns)
    )
    body = "".join(
        f'<tr><th scope="row">{escape(label)}</th>'
        f"{''.join(cells[row * width : (row + 1) * width])}</tr>"
        for row, label in enumerate(labels_of(rows, of_rows))
    )
    corner = f"<span>{columns.title} →</span><span>{rows.title} ↓</span>"
    return (
        '<div class="cells" tabindex="0" role="region" aria-label="Grid" '
        f'style="--columns:{width};--rows:{len(rows.values)}">'
        f'<table><thead><tr><th class="corner">{corner}</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{sameness(columns, of_columns)}"
        f"{sameness(rows, of_rows)}"
    )


def sheet_png(
    grid: PictureGrid, views: Sequence[CellView], title: str, metadata: GenerationMetadata
) -> bytes:
    """The labelled contact sheet as a PNG file, with both axes inside.

    Args:
        title: what draws.
        metadata: of the first picture; it is inside the file too.
    """
    columns, rows = grid.columns, grid.rows
    of_columns, of_rows = twins(grid, views)
    base = grid.requests[0]
    same = {k: v for k, v in settings_of(base).items() if k not in (columns.name, rows.name)}
    picture = labelled_sheet(
        f"{title}: {base.prompt}",
        ", ".join(f"{AXES[name][0]} {_in_words(name, value)}" for name, value in same.items()),
        (columns.title, labels_of(columns, of_columns)),
        (rows.title, labels_of(rows, of_rows)),
        [view.results[0].images[0] if view.done else None for view in views],
    )
    chunks = PngInfo()
    chunks.add_text(KEY, metadata.to_text())
    chunks.add_text("genlab-grid", json.dumps({axis.name: axis.values for axis in (columns, rows)}))
    file = io.BytesIO()
    picture.save(file, format="PNG", pnginfo=chunks)
    return file.getvalue()


def _cell(request: StableDiffusionRequest, view: CellView) -> str:
    """One picture, or what stands in its place, as a button."""
    settings = settings_of(request)
    inside = image(view.pictures[0]) if view.pictures else _waiting(view)
    spoken = ", ".join(f"{name} {_in_words(name, value)}" for name, value in settings.items())
    return (
        f'<td><button data-cell="{escape(json.dumps(settings))}" aria-label="{escape(spoken)}">'
        f"{inside}</button></td>"
    )


def chosen(settings: dict[str, Any], picture: str) -> str:
    """A cell's full settings beside its picture, enlarged."""
    shown = (
        f'<img src="{escape(picture)}" alt="the chosen cell">' if ADDRESS.fullmatch(picture) else ""
    )
    facts = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(_in_words(name, settings[name]))}</dd>"
        for name in SETTINGS
        if name in settings
    )
    return (
        f'<div class="chosen">{shown}<div><p>These settings are in the controls now; <b>Generate'
        f"</b> draws this picture again.</p><dl>{facts}</dl></div></div>"
    )


def settings_of(request: StableDiffusionRequest) -> dict[str, Any]:
    """What a cell gives to the controls."""
    return {name: getattr(request, name) for name in SETTINGS}


def _waiting(view: CellView) -> str:
    """What stands in a cell without a picture."""
    if view.failed:
        return f'<i class="failed" title="{escape(view.failed)}">failed</i>'
    (event,) = view.events
    return f"<i>{event.step}/{event.total}</i>" if isinstance(event, Progress) else "<i></i>"


def _in_words(name: str, value: Any) -> str:
    if name == "scheduler":
        return SCHEDULERS[value].label if value in SCHEDULERS else str(value)
    return f"{value:g}" if isinstance(value, float) else str(value) or "(none)"
