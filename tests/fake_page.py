"""A tab without a server: press its buttons and see what each element is given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import gradio as gr


class FakePage:
    """The content that ``build(*arguments)`` adds to a page."""

    def __init__(self, build: Callable[..., None], *arguments: Any) -> None:
        with gr.Blocks() as self.blocks:
            build(*arguments)

    def element(self, name: str) -> Any:
        """The component of that element id."""
        return next(b for b in self.blocks.blocks.values() if b.elem_id == name)

    async def press(
        self, name: str, *values: Any, owner: str = "me"
    ) -> AsyncIterator[dict[str, Any]]:
        """Click a button while its inputs have these values; the updates by element id, in turn.

        An element that keeps what it shows is left out.
        """
        button = self.element(name)._id
        event = next(f for f in self.blocks.fns.values() if (button, "click") in f.targets)
        assert event.fn is not None
        assert len(values) == len(event.inputs)
        async for updates in event.fn(SimpleNamespace(session_hash=owner), *values):
            pairs = zip(event.outputs, updates, strict=True)
            yield {element.elem_id: new for element, new in pairs if new != gr.skip()}
