"""The pictures over each question: drawn once for everybody who opens the guide. No tensor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import gradio as gr

from genlab.ui.cells import Cell, CellView
from genlab.ui.components.panel import PRIVATE
from genlab.ui.components.pictures import blank, grid
from genlab.ui.context import AppContext
from genlab.ui.first_runs import EVERYBODY, everybodys
from genlab.ui.live_run import live_run
from genlab.ui.tabs.guide.steps import GuideStep
from genlab.ui.tabs.guide.words import GuideWords, inline

SLOT = "lab-guide"


def step_pictures(
    context: AppContext, steps: Sequence[GuideStep], words: GuideWords, places: Sequence[gr.HTML]
) -> None:
    """Fill the place of each question's pictures when the page is opened."""

    async def draw() -> AsyncIterator[tuple[Any, ...]]:
        def cells() -> list[Cell]:
            return [Cell((request,)) for step in steps for request in step.pictures]

        async for frame in live_run(context, f"{EVERYBODY}{SLOT}", SLOT, cells):
            if not frame.cells:  # nothing can be drawn
                yield tuple("" for _ in steps)
                continue
            views = iter(frame.cells)
            rows = [[next(views) for _ in step.pictures] for step in steps]
            yield tuple(_row(step, words, row) for step, row in zip(steps, rows, strict=True))

    async def shown(request: gr.Request) -> AsyncIterator[tuple[Any, ...]]:
        owner = str(request.session_hash)
        async for updates in everybodys(context, owner, SLOT, draw, len(places)):
            yield updates

    gr.on(None, shown, None, list(places), concurrency_limit=None, trigger_mode="once", **PRIVATE)


def waiting(step: GuideStep, words: GuideWords) -> str:
    """The place of the pictures before they are there."""
    captions = words.steps[step.key].captions
    rows = zip(step.pictures, captions, strict=True)
    return _figures(
        (blank(request.count, 1, words.page["waiting"]), caption) for request, caption in rows
    )


def _row(step: GuideStep, words: GuideWords, views: Sequence[CellView]) -> str | None:
    """The pictures of a step once they are there; "" if one of them cannot be drawn."""
    if any(view.failed for view in views):
        return ""
    return rows_html(step, words, views) if all(view.done for view in views) else None


def rows_html(step: GuideStep, words: GuideWords, views: Sequence[CellView]) -> str:
    """A row of pictures for each of its requests."""
    captions = words.steps[step.key].captions
    rows = zip(views, captions, strict=True)
    drawn = _figures((grid(view.pictures, columns=len(view.pictures)), text) for view, text in rows)
    return f'{drawn}<p class="note">{words.page["drawn"]}</p>'


def _figures(rows: Any) -> str:
    return "".join(
        f'<div class="guide-row">{pictures}<p class="caption">{inline(caption)}</p></div>'
        for pictures, caption in rows
    )
