"""Mode Reconstruct: test pictures above what comes back of them. Knows no tensor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import gradio as gr
import numpy as np

from genlab.families.vae.request import ReconstructRequest
from genlab.formats.metadata import ModelMetadata
from genlab.models.examples import examples
from genlab.requests import parse_request
from genlab.ui.cells import Cell
from genlab.ui.components.panel import buttons, heading, pair, shows_second
from genlab.ui.components.pictures import blank, sheet
from genlab.ui.components.run_button import on_press
from genlab.ui.context import AppContext
from genlab.ui.live_run import Frame, live_run
from genlab.ui.model_choices import lists
from genlab.ui.tabs.vae.kinds import reconstructs

SLOT = "vae-reconstruct"
INTRO = (
    "Test pictures, encoded and decoded again. **Without KL they come back sharper**: any code "
    "will do. What did that cost when you sampled?"
)
DIGITS = 10  # reconstructed at once, one of each class


def build(context: AppContext, entries: Sequence[ModelMetadata]) -> None:
    """Add the mode's content to the tab."""
    gr.Markdown(INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["bench"]):
        with gr.Column(scale=1, min_width=280, elem_classes=["controls"]):
            first, beside = pair(SLOT, entries, "Another one, for the same digits.")
            lists([first, beside], ["vae"], reconstructs)
            press = buttons(SLOT, "Reconstruct ten")
        with gr.Column(scale=3, min_width=300):
            rows = [_row("originals"), _row("first"), _row("second", bool(beside.value))]
    shows_second(beside, rows[2][0])

    async def reconstruct(
        request: gr.Request, checkpoint: Any, other: Any
    ) -> AsyncIterator[tuple[Any, ...]]:
        names = [checkpoint, other] if other else [checkpoint]
        digits = np.zeros((0, 28, 28), np.uint8)

        def cells() -> list[Cell]:
            nonlocal digits
            dataset = context.registry.entry(str(checkpoint)).dataset
            digits = examples(context.registry, dataset).draw(DIGITS)
            wanted = [parse_request(ReconstructRequest, checkpoint=n, images=digits) for n in names]
            return [Cell((one,)) for one in wanted]

        async for frame in live_run(
            context, str(request.session_hash), SLOT, cells, alone_may_fail=False
        ):
            yield (
                frame.status,
                gr.update(interactive=frame.running),
                *sheets(names, digits, frame),
            )

    def sheets(names: Sequence[str], digits: np.ndarray, frame: Frame) -> list[Any]:
        """Heading and picture of the three rows: originals above reconstructions."""
        if frame.running or not frame.cells or not all(view.done for view in frame.cells):
            return [gr.skip()] * 6
        titles = ["Test pictures", *(context.registry.entry(name).title for name in names)]
        images = [digits, *(view.results[0].images for view in frame.cells)]
        shown: list[Any] = []
        for title, row in zip(titles, images, strict=True):
            alt = f"{len(row)} pictures in a row: {title}"
            shown += [heading(title), sheet(row, alt)]
        return shown + [gr.skip()] * (6 - len(shown))

    outputs = [part for _, title, picture in rows for part in (title, picture)]
    on_press(context, SLOT, press, reconstruct, [first, beside], outputs)


def _row(name: str, visible: bool = True) -> tuple[gr.Column, gr.HTML, gr.HTML]:
    with gr.Column(visible=visible, elem_classes=["panel"]) as column:
        title = heading("Test pictures" if name == "originals" else "")
        return (
            column,
            gr.HTML(title, elem_classes=["flush"]),
            gr.HTML(blank(DIGITS, 1), elem_id=f"{SLOT}-{name}", elem_classes=["flush"]),
        )
