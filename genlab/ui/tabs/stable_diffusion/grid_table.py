"""A grid on the page: a table of pictures that fills in, its labels always in sight. No tensor."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from html import escape
from typing import Any

from PIL.PngImagePlugin import PngInfo

from genlab.diffusion.schedulers import SCHEDULERS
from genlab.engine.events import Progress
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.generation_metadata import KEY, GenerationMetadata
from genlab.ui.cells import CellView
from genlab.ui.components.contact_sheet import labelled_sheet
from genlab.ui.components.pictures import image
from genlab.ui.tabs.stable_diffusion.axes import AXES, PictureGrid

SETTINGS = (
    "num_inference_steps", "guidance_scale", "scheduler", "seed", "negative_prompt",
)  # fmt: skip
"""What a cell shows of itself, and gives to the controls."""

PICK = """element.addEventListener("click", event => {
    const cell = event.target.closest("button[data-cell]");
    if (!cell) return;
    const picture = cell.querySelector("img")?.getAttribute("src") ?? "";
    trigger("select", {settings: JSON.parse(cell.dataset.cell), picture});
});"""
"""Client-side: a click, or Enter or Space on a focused cell, selects its settings."""

ADDRESS = re.compile(r"pictures/[0-9a-f]{64}\.png")
"""Of a finished picture; whatever else a browser may send is not shown."""


def table_html(grid: PictureGrid, views: Sequence[CellView]) -> str:
    """The table as it stands, one view a picture."""
    columns, rows = grid.columns, grid.rows
    width = len(columns.values)
    cells = [_cell(*pair) for pair in zip(grid.requests, views, strict=True)]
    head = "".join(f'<th scope="col">{escape(label)}</th>' for label in columns.labels)
    body = "".join(
        f'<tr><th scope="row">{escape(label)}</th>'
        f"{''.join(cells[row * width : (row + 1) * width])}</tr>"
        for row, label in enumerate(rows.labels)
    )
    corner = f"<span>{columns.title} →</span><span>{rows.title} ↓</span>"
    return (
        '<div class="cells" tabindex="0" role="region" aria-label="Grid" '
        f'style="--columns:{width};--rows:{len(rows.values)}">'
        f'<table><thead><tr><th class="corner">{corner}</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
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
    base = grid.requests[0]
    same = {k: v for k, v in settings_of(base).items() if k not in (columns.name, rows.name)}
    picture = labelled_sheet(
        f"{title}: {base.prompt}",
        ", ".join(f"{AXES[name][0]} {_in_words(name, value)}" for name, value in same.items()),
        (columns.title, columns.labels),
        (rows.title, rows.labels),
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
