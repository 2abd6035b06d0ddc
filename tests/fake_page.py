"""A tab without a server: press its buttons and see what each element is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import gradio as gr

from genlab.ui.context import AppContext

Frame = dict[str, Any]
"""The updates of one moment by element id; an element that keeps what it shows is left out."""


class FakePage:
    """The content that ``build(context)`` adds to a page."""

    def __init__(self, build: Callable[[AppContext], None], context: AppContext) -> None:
        with gr.Blocks() as self.blocks:
            build(context)

    def element(self, name: str) -> Any:
        """The component of that element id."""
        return next(b for b in self.blocks.blocks.values() if b.elem_id == name)

    async def press(self, name: str, *values: Any) -> AsyncIterator[Frame]:
        """Click the button of that element id while its inputs have these values."""
        blocks: Any = self.blocks
        button = self.element(name)._id
        event = next(f for f in blocks.fns.values() if (button, "click") in f.targets)
        assert len(values) == len(event.inputs)
        async for updates in event.fn(SimpleNamespace(session_hash="me"), *values):
            pairs = zip(event.outputs, updates, strict=True)
            yield {element.elem_id: new for element, new in pairs if new != gr.skip()}


def pressed(
    page: FakePage, name: str, *values: Any, during: Callable[[Frame], None] = lambda frame: None
) -> list[Frame]:
    """All frames after a press; ``during`` is called with each."""

    async def collect() -> list[Frame]:
        seen = []
        async for frame in page.press(name, *values):
            seen.append(frame)
            during(frame)
        return seen

    return asyncio.run(asyncio.wait_for(collect(), 30))


def together(frames: Sequence[Frame]) -> Frame:
    """What every element shows in the end."""
    return {name: value for frame in frames for name, value in frame.items()}
