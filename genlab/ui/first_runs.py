"""No panel starts empty: what its button would draw is there when its tab is first opened.

Read off the finished page, so a new tab takes part without a word: a button whose id ends in
``-generate`` is pressed, with the values that its controls begin with, once for everybody. A button
with the class WAITS is left alone. Knows no tab and no model.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import gradio as gr

from genlab.ui.components.panel import PRIVATE
from genlab.ui.context import AppContext
from genlab.ui.light_page import is_skip
from genlab.ui.opening import Start, Updates

PRESSED = "-generate"
WAITS = "waits"
EVERYBODY = "opening "  # and the slot: the owner of what it opens with
FIRST = "first-"  # and the slot: the element id of what starts it
WATCH = """slots => {
    const left = new Set(slots);
    const look = () => {
        for (const slot of left) {
            if (!document.getElementById(`${slot}-generate`)?.offsetParent) continue;
            left.delete(slot);
            setTimeout(() => document.getElementById(`first-${slot}`).click(), 400);
        }
        if (left.size) setTimeout(look, 300);
    };
    look();
}"""
"""Client-side: presses a panel's own once it has come into sight, and is all there."""
NOTE = (
    '<p class="note">Drawn once for everybody, with the settings as this opens. '
    "The button draws your own.</p>"
)

Run = Callable[..., AsyncIterator[Updates]]
"""A handler of a button: the request and its inputs' values to updates, of the status, the Stop
button and whatever else."""


def show_on_opening(context: AppContext, page: gr.Blocks) -> None:
    """Let the panels of a finished page open with something to be seen; to be called within it."""
    handlers: Any = page.fns
    slots = []
    for event in list(handlers.values()):
        button = next((page.blocks[k] for k, kind in event.targets if kind == "click"), None)
        name = str(getattr(button, "elem_id", "") or "")
        if button is None or not name.endswith(PRESSED) or WAITS in button.elem_classes:
            continue
        slot, run = name.removesuffix(PRESSED), event.fn
        event.fn = _own(context, slot, run)
        begin = [component.value for component in event.inputs]
        gr.Button(visible="hidden", elem_id=f"{FIRST}{slot}").click(
            _opening(context, slot, run, begin, len(event.outputs)), None, event.outputs,
            concurrency_limit=None, trigger_mode="once", **PRIVATE,
        )  # fmt: skip
        slots.append(slot)
    page.load(None, None, None, js=f"() => ({WATCH})({json.dumps(slots)})")


def _own(context: AppContext, slot: str, run: Run) -> Run:
    """The handler, which also notes that the visitor has something of their own there."""

    async def own(request: gr.Request, *values: Any) -> AsyncIterator[Updates]:
        context.openings.has_own(str(request.session_hash), slot)
        async for updates in run(request, *values):
            yield updates

    return own


def _opening(context: AppContext, slot: str, run: Run, begin: list[Any], outputs: int) -> Run:
    """The handler that shows everybody's run."""

    async def start() -> AsyncIterator[Updates]:
        everybody: Any = SimpleNamespace(session_hash=f"{EVERYBODY}{slot}")
        async for status, stop, *shown in run(everybody, *begin):
            if "complaint" in str(status):  # nobody asked for anything
                yield "", None, *(None for _ in shown)
                return
            note = "" if stop["interactive"] else NOTE
            yield status + note, None, *(None if is_skip(update) else update for update in shown)

    async def opening(request: gr.Request) -> AsyncIterator[Updates]:
        async for updates in everybodys(context, str(request.session_hash), slot, start, outputs):
            yield updates

    return opening


async def everybodys(
    context: AppContext, owner: str, slot: str, start: Start, outputs: int
) -> AsyncIterator[Updates]:
    """What everybody's run shows a visitor, as updates of so many outputs.

    At least one, that changes nothing: Gradio empties the outputs of a handler that yields none.
    """
    yield (gr.skip(),) * outputs
    async for updates in context.openings.follow(owner, slot, start):
        yield tuple(gr.skip() if update is None else update for update in updates)
