"""Mode 2-D codes: where test pictures lie among the codes, class by class. Knows no tensor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import gradio as gr

from genlab.families.vae.request import ReconstructRequest
from genlab.formats.metadata import ModelMetadata
from genlab.models.examples import examples
from genlab.requests import parse_request
from genlab.ui.cells import Cell
from genlab.ui.components.panel import buttons, heading, missing, pair, shows_second
from genlab.ui.components.run_button import on_press
from genlab.ui.context import AppContext
from genlab.ui.live_run import Frame, live_run
from genlab.ui.model_choices import lists
from genlab.ui.tabs.vae.codes_plot import codes_figure, empty_figure
from genlab.ui.tabs.vae.kinds import flat, reconstructs

SLOT = "vae-codes"
INTRO = (
    "Each dot is a test picture's code. The circles are **N(0, I)**, where samples are drawn. "
    "With KL nearly all codes lie in them, most classes crowded in the middle. Without, 0s, 1s and "
    "6s run far out in arms (**mind the axes**), and the others stay in a knot."
)
CODED = 1000  # dots in the plot


def build(context: AppContext, entries: Sequence[ModelMetadata]) -> None:
    """Add the mode's content to the tab; ``entries`` are those with two numbers a code."""
    if not entries:
        missing("2-D VAE", "vae-mnist-2d")
        return
    gr.Markdown(INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["bench"]):
        with gr.Column(scale=1, min_width=280, elem_classes=["controls"]):
            first, beside = pair(SLOT, entries, "Another one, for the same pictures.")
            lists([first, beside], ["vae"], lambda entry: flat(entry) and reconstructs(entry))
            press = buttons(SLOT, "Plot the codes")
        with gr.Column(scale=3, min_width=300), gr.Row(elem_classes=["panels"]):
            plots = [_plot("first"), _plot("second", bool(beside.value))]
    shows_second(beside, plots[1][0])

    async def plot(
        request: gr.Request, checkpoint: Any, other: Any
    ) -> AsyncIterator[tuple[Any, ...]]:
        names = [checkpoint, other] if other else [checkpoint]

        def cells() -> list[Cell]:
            dataset = context.registry.entry(str(checkpoint)).dataset
            images = examples(context.registry, dataset).images[:CODED]
            wanted = [parse_request(ReconstructRequest, checkpoint=n, images=images) for n in names]
            return [Cell((one,)) for one in wanted]

        async for frame in live_run(
            context, str(request.session_hash), SLOT, cells, alone_may_fail=False
        ):
            yield frame.status, gr.update(interactive=frame.running), *figures(names, frame)

    def figures(names: Sequence[str], frame: Frame) -> list[Any]:
        """Heading and plot of each checkpoint."""
        if frame.running or not frame.cells or not all(view.done for view in frame.cells):
            return [gr.skip()] * 4
        pictures = examples(context.registry, context.registry.entry(names[0]).dataset)
        labels = pictures.labels[:CODED]
        shown: list[Any] = []
        for name, view in zip(names, frame.cells, strict=True):
            figure = codes_figure(view.results[0].extras["mu"], labels, pictures.classes)
            shown += [heading(context.registry.entry(name).title), figure]
        return shown + [gr.skip()] * (4 - len(shown))

    outputs = [part for _, title, figure in plots for part in (title, figure)]
    on_press(context, SLOT, press, plot, [first, beside], outputs)


def _plot(name: str, visible: bool = True) -> tuple[gr.Column, gr.HTML, gr.Plot]:
    with gr.Column(min_width=300, visible=visible, elem_classes=["panel"]) as column:
        title = gr.HTML(heading(), elem_classes=["flush"])
        figure = gr.Plot(
            empty_figure(), show_label=False, elem_id=f"{SLOT}-{name}", elem_classes=["plotted"]
        )
    return column, title, figure
