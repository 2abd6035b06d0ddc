"""A grid on the page: a table of pictures that fills in, its labels always in sight. No tensor."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from html import escape
from typing import Any

from PIL.PngImagePlugin import PngInfo

from genlab.engine import Event, Failed, Progress, Result
from genlab.generation_metadata import KEY
from genlab.models.registry import Catalogue
from genlab.requests import StableDiffusionRequest
from genlab.ui.components.contact_sheet import labelled_sheet
from genlab.ui.components.pictures import SMALL, data_url, reduced
from genlab.ui.tabs.stable_diffusion.axes import AXES, Plan
from genlab.ui.tabs.stable_diffusion.controls import SCHEDULER_NAMES

SETTINGS = (
    "num_inference_steps", "guidance_scale", "scheduler", "seed", "negative_prompt",
)  # fmt: skip
"""What a cell shows of itself, and gives to the controls."""

PICK = """element.addEventListener("click", event => {
    const cell = event.target.closest("button[data-cell]");
    if (!cell) return;
    const shown = cell.querySelector("img");
    trigger("select", {settings: JSON.parse(cell.dataset.cell), picture: shown ? shown.src : ""});
});"""
"""Client-side: a click, or Enter or Space on a focused cell, tells its settings."""


class Table:
    """A plan's cells as HTML and, at the end, as one PNG; a finished cell is encoded once.

    Args:
        plan: the cells.
        catalogue: knows the recipe of each, which its picture carries.
    """

    def __init__(self, plan: Plan, catalogue: Catalogue) -> None:
        self.plan = plan
        self.title = catalogue.entry(plan.requests[0].checkpoint).title
        self._recipes = [catalogue.recipes(request)[0] for request in plan.requests]
        self._done: dict[int, str] = {}

    def html(self, events: Sequence[Event]) -> str:
        """The table as the events tell it, one event a cell."""
        columns, rows = self.plan.columns, self.plan.rows
        width = len(columns.values)
        head = "".join(f'<th scope="col">{escape(label)}</th>' for label in columns.labels)
        body = "".join(
            f'<tr><th scope="row">{escape(label)}</th>'
            + "".join(self._cell(row * width + k, events) for k in range(width))
            + "</tr>"
            for row, label in enumerate(rows.labels)
        )
        corner = f"<span>{columns.title} →</span><span>{rows.title} ↓</span>"
        return (
            '<div class="cells" tabindex="0" role="region" aria-label="Grid" '
            f'style="--columns:{width};--rows:{len(rows.values)}">'
            f'<table><thead><tr><th class="corner">{corner}</th>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )

    def png(self, events: Sequence[Event]) -> bytes:
        """The labelled contact sheet; it carries the first cell's recipe and both axes."""
        columns, rows = self.plan.columns, self.plan.rows
        base = self.plan.requests[0]
        same = {k: v for k, v in settings_of(base).items() if k not in (columns.name, rows.name)}
        picture = labelled_sheet(
            f"{self.title}: {base.prompt}",
            ", ".join(f"{AXES[name][0]} {_told(name, value)}" for name, value in same.items()),
            (columns.title, columns.labels),
            (rows.title, rows.labels),
            [event.images[0] if isinstance(event, Result) else None for event in events],
        )
        told = PngInfo()
        told.add_text(KEY, self._recipes[0].to_text())
        told.add_text(
            "genlab-grid", json.dumps({axis.name: axis.values for axis in (columns, rows)})
        )
        file = io.BytesIO()
        picture.save(file, format="PNG", pnginfo=told)
        return file.getvalue()

    def _cell(self, k: int, events: Sequence[Event]) -> str:
        if k in self._done:
            return self._done[k]
        event, settings = events[k], settings_of(self.plan.requests[k])
        if isinstance(event, Result):
            picture = event.images[0]
            looks = "pixels" if picture.shape[0] <= SMALL else ""
            source = data_url(reduced(picture), self._recipes[k])
            inside = f'<img class="{looks}" src="{source}" alt="">'
        else:
            inside = _waiting(event)
        spoken = ", ".join(f"{name} {_told(name, value)}" for name, value in settings.items())
        cell = (
            f'<td><button data-cell="{escape(json.dumps(settings))}" aria-label="{escape(spoken)}">'
            f"{inside}</button></td>"
        )
        if isinstance(event, Result):
            self._done[k] = cell
        return cell


def chosen(settings: dict[str, Any], picture: str) -> str:
    """A cell's full settings beside its picture, enlarged."""
    shown = (
        f'<img src="{escape(picture)}" alt="the chosen cell">'
        if picture.startswith("data:image/")
        else ""
    )
    facts = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(_told(name, settings[name]))}</dd>"
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


def _waiting(event: Event) -> str:
    """What stands in a cell without a picture."""
    if isinstance(event, Failed):
        return f'<i class="failed" title="{escape(event.message)}">failed</i>'
    return f"<i>{event.step}/{event.total}</i>" if isinstance(event, Progress) else "<i></i>"


def _told(name: str, value: Any) -> str:
    if name == "scheduler":
        return SCHEDULER_NAMES.get(value, str(value))
    return f"{value:g}" if isinstance(value, float) else str(value) or "(none)"
