"""Handlers whose runs outlive their page, and the page that comes back to them.

Knows no tab and no model.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, cast
from weakref import WeakKeyDictionary

import gradio as gr

from genlab.serving.kept_runs import KEEP, Updates, together
from genlab.ui.context import AppContext
from genlab.ui.light_page import is_skip

Handler = Callable[..., AsyncIterator[tuple[Any, ...]]]
"""An async generator function."""

_slots: WeakKeyDictionary[Any, str] = WeakKeyDictionary()  # of the handlers that ``kept`` made


def kept(context: AppContext, slot: str, handler: Handler) -> Handler:
    """The handler of a button, made to go on when its page is gone; see ``KeptRuns``.

    Args:
        slot: where on the page; a visitor's newer run there replaces the older.
        handler: takes the request and values, yields updates of the event's outputs.
    """

    async def follow(request: gr.Request, *values: Any) -> AsyncIterator[tuple[Any, ...]]:
        source = cast(AsyncGenerator[tuple[Any, ...], None], handler(request, *values))
        run = context.kept.begin(str(request.session_hash), slot, source, is_skip)
        async with aclosing(run.follow()) as frames:
            async for updates in frames:
                yield _shown(updates)

    _slots[follow] = slot
    return follow


def outputs_of(page: gr.Blocks) -> dict[str, list[Any]]:
    """The outputs of a page's kept handlers by slot."""
    return {_slots[e.fn]: list(e.outputs) for e in page.fns.values() if e.fn in _slots}


def coming_back(
    context: AppContext, page: gr.Blocks
) -> tuple[Callable[[gr.Request], AsyncIterator[list[Any]]], list[Any]]:
    """A handler that shows a page all runs of its visitor, and its outputs."""
    places = outputs_of(page)
    outputs = list({id(part): part for parts in places.values() for part in parts}.values())

    async def back(request: gr.Request) -> AsyncIterator[list[Any]]:
        runs = context.kept.of(str(request.session_hash))
        runs = {slot: run for slot, run in runs.items() if slot in places}
        async with aclosing(together(runs)) as frames:
            async for news in frames:
                updates = {
                    id(part): update
                    for slot, shown in news.items()
                    for part, update in zip(places[slot], _shown(shown), strict=True)
                }
                yield [updates.get(id(part), gr.skip()) for part in outputs]

    return back, outputs


def _shown(updates: Updates) -> tuple[Any, ...]:
    """What Gradio is given; it takes updates apart, so it gets copies."""
    new = (gr.skip() if update is KEEP else update for update in updates)
    return tuple(dict(update) if isinstance(update, dict) else update for update in new)
