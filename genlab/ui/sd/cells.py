"""A grid on the page: a table of pictures that fills in, its labels always in sight. No tensor."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from genlab.engine import Cancelled, Event, Failed, Progress, Result
from genlab.requests import StableDiffusionRequest
from genlab.ui.pictures import SMALL, data_url, reduced
from genlab.ui.sd.axes import Plan
from genlab.ui.sd.controls import SCHEDULER_NAMES

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
    """The HTML of a plan's cells; a finished cell is encoded once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
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

    def _cell(self, k: int, events: Sequence[Event]) -> str:
        if k not in self._done:
            event = events[k]
            cell = _drawn(self.plan.requests[k], event)
            if not isinstance(event, Result):
                return cell
            self._done[k] = cell
        return self._done[k]


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


def _drawn(request: StableDiffusionRequest, event: Event) -> str:
    settings = settings_of(request)
    spoken = ", ".join(f"{name} {_told(name, value)}" for name, value in settings.items())
    if isinstance(event, Result):
        picture = event.images[0]
        looks = "pixels" if picture.shape[0] <= SMALL else ""
        inside = f'<img class="{looks}" src="{data_url(reduced(picture))}" alt="">'
    elif isinstance(event, Failed):
        inside = f'<i class="failed" title="{escape(event.message)}">failed</i>'
    elif isinstance(event, Progress):
        inside = f"<i>{event.step}/{event.total}</i>"
    else:
        inside = "<i>stopped</i>" if isinstance(event, Cancelled) else "<i></i>"
    given = escape(json.dumps(settings))
    return f'<td><button data-cell="{given}" aria-label="{escape(spoken)}">{inside}</button></td>'


def _told(name: str, value: Any) -> str:
    if name == "scheduler":
        return SCHEDULER_NAMES.get(value, str(value))
    return f"{value:g}" if isinstance(value, float) else str(value) or "(none)"
