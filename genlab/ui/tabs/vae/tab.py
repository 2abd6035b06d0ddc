"""The VAE tab: sample the prior, reconstruct test digits, look at the codes. Knows no tensor."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import gradio as gr
import numpy as np

from genlab.models.examples import examples
from genlab.models.registry import Entry
from genlab.requests import ReconstructRequest, Request, VAERequest, ask
from genlab.ui.components.panel import (
    PRIVATE,
    Buttons,
    buttons,
    heading,
    missing,
    numbered,
    pair,
    panel,
    seed_and_count,
    shows_second,
    stoppable,
    wire,
)
from genlab.ui.components.pictures import blank, sheet
from genlab.ui.context import Lab
from genlab.ui.live_run import Frame, play
from genlab.ui.tabs.vae.codes_plot import codes_figure, empty_figure

SAMPLE = (
    "A VAE decodes a random **z ~ N(0, I)**. Look at the edges: why are they soft? And why is it "
    "worse without the KL term, from the same z?"
)
RECONSTRUCT = (
    "Test pictures, encoded and decoded again. **Without KL they come back sharper**: any code "
    "will do. What did that cost when you sampled?"
)
CODES = (
    "Each dot is a test picture's code. The circles are **N(0, I)**, where samples are drawn: "
    "with KL the codes fill them; without, they lie far out, with holes between."
)
DIGITS = 10  # reconstructed at once, one of each class
CODED = 1000  # dots in the plot


def build(lab: Lab) -> None:
    """Add the tab's content to the page."""
    entries = lab.catalogue.of_family("vae")
    if not entries:
        missing("VAE", "vae-mnist-20d")
        return
    with gr.Tabs(elem_classes=["modes"]):
        with gr.Tab("Sample the prior", id="vae-sample"):
            _sample(lab, preferred(entries))
        with gr.Tab("Reconstruct", id="vae-reconstruct"):
            _reconstruct(lab, preferred(entries))
        with gr.Tab("2-D codes", id="vae-codes"):
            _codes(lab, [entry for entry in entries if latent_dim(entry) == 2])


def preferred(entries: Sequence[Entry]) -> list[Entry]:
    """The checkpoints with the 20-D ones first: two numbers are not enough for a digit."""
    return sorted(entries, key=lambda entry: (latent_dim(entry) == 2, entry.dataset != "mnist"))


def latent_dim(entry: Entry) -> int:
    """How many numbers a code has, as the checkpoint's config says."""
    return int(json.loads((entry.folder / "config.json").read_text())["latent_dim"])


def _sample(lab: Lab, entries: Sequence[Entry]) -> None:
    gr.Markdown(SAMPLE, elem_classes=["intro"])
    with gr.Row(elem_classes=["bench"]):
        with gr.Column(scale=1, min_width=280, elem_classes=["controls"]):
            first, beside = pair("vae", entries)
            temperature, pull = numbered(
                "vae-temperature",
                "Temperature",
                "Multiplies z: 0 is the average picture, above 1 leaves the known region.",
                0, 3, 1, 0.05,
            )  # fmt: skip
            seed, count = seed_and_count("vae", 64, 16)
            press = buttons("vae")
        with gr.Column(scale=3, min_width=300), gr.Row(elem_classes=["panels"]):
            panels = [panel("vae"), panel("vae-beside", bool(beside.value))]

    def requests(
        checkpoint: Any, other: Any, temperature: Any, seed: Any, count: Any
    ) -> list[Request]:
        names = [checkpoint, other] if other else [checkpoint]
        return [
            ask(VAERequest, checkpoint=name, temperature=temperature, seed=seed, count=count)
            for name in names
        ]

    shows_second(beside, panels[1].column)
    inputs = [first, beside, temperature, seed, count]
    wire(lab, "vae", press, panels, inputs, requests, also=[pull.release, temperature.submit])


def _reconstruct(lab: Lab, entries: Sequence[Entry]) -> None:
    gr.Markdown(RECONSTRUCT, elem_classes=["intro"])
    with gr.Row(elem_classes=["bench"]):
        with gr.Column(scale=1, min_width=280, elem_classes=["controls"]):
            first, beside = pair("vae-reconstruct", entries, "Another one, for the same digits.")
            press = buttons("vae-reconstruct", "Reconstruct ten")
        with gr.Column(scale=3, min_width=300):
            rows = [_sheet("originals"), _sheet("first"), _sheet("second", bool(beside.value))]
    shows_second(beside, rows[2][0])

    async def reconstruct(
        request: gr.Request, checkpoint: Any, other: Any
    ) -> AsyncIterator[tuple[Any, ...]]:
        names = [checkpoint, other] if other else [checkpoint]
        digits = np.zeros(0)

        def asked() -> list[Request]:
            nonlocal digits
            digits = examples(lab.catalogue, lab.catalogue.entry(checkpoint).dataset).draw(DIGITS)
            return [ask(ReconstructRequest, checkpoint=name, images=digits) for name in names]

        async for frame in play(
            lab, str(request.session_hash), "vae-reconstruct", asked, judge=False
        ):
            yield frame.status, gr.Button(interactive=frame.running), *sheets(names, digits, frame)

    def sheets(names: Sequence[str], digits: np.ndarray, frame: Frame) -> list[Any]:
        """Heading and picture of the three rows: originals above reconstructions."""
        if frame.results is None:
            return [gr.skip()] * 6
        titles = ["Test pictures", *(lab.catalogue.entry(name).title for name in names)]
        images = [digits, *(result.images for result in frame.results)]
        shown: list[Any] = []
        for title, row in zip(titles, images, strict=True):
            shown += [heading(title), sheet(row)]
        return shown + [gr.skip()] * (6 - len(shown))

    _wire_rows(lab, "vae-reconstruct", press, [first, beside], rows, reconstruct)


def _sheet(name: str, visible: bool = True) -> tuple[gr.Column, gr.HTML, gr.HTML]:
    with gr.Column(visible=visible, elem_classes=["panel"]) as column:
        title = heading("Test pictures" if name == "originals" else " ")
        return (
            column,
            gr.HTML(title, elem_classes=["flush"]),
            gr.HTML(blank(DIGITS, 1), elem_id=f"vae-reconstruct-{name}", elem_classes=["flush"]),
        )


def _codes(lab: Lab, entries: Sequence[Entry]) -> None:
    if not entries:
        missing("2-D VAE", "vae-mnist-2d")
        return
    gr.Markdown(CODES, elem_classes=["intro"])
    with gr.Row(elem_classes=["bench"]):
        with gr.Column(scale=1, min_width=280, elem_classes=["controls"]):
            first, beside = pair("vae-codes", entries, "Another one, for the same pictures.")
            press = buttons("vae-codes", "Plot the codes")
        with gr.Column(scale=3, min_width=300), gr.Row(elem_classes=["panels"]):
            plots = [_plot("first"), _plot("second", bool(beside.value))]
    shows_second(beside, plots[1][0])

    async def plot(
        request: gr.Request, checkpoint: Any, other: Any
    ) -> AsyncIterator[tuple[Any, ...]]:
        names = [checkpoint, other] if other else [checkpoint]

        def asked() -> list[Request]:
            known = examples(lab.catalogue, lab.catalogue.entry(checkpoint).dataset)
            images = known.images[:CODED]
            return [ask(ReconstructRequest, checkpoint=name, images=images) for name in names]

        async for frame in play(lab, str(request.session_hash), "vae-codes", asked, judge=False):
            yield frame.status, gr.Button(interactive=frame.running), *figures(names, frame)

    def figures(names: Sequence[str], frame: Frame) -> list[Any]:
        if frame.results is None:
            return [gr.skip()] * 4
        known = examples(lab.catalogue, lab.catalogue.entry(names[0]).dataset)
        labels = known.labels[:CODED]
        shown: list[Any] = []
        for name, result in zip(names, frame.results, strict=True):
            figure = codes_figure(result.extras["mu"], labels, known.classes)
            shown += [heading(lab.catalogue.entry(name).title), figure]
        return shown + [gr.skip()] * (4 - len(shown))

    _wire_rows(lab, "vae-codes", press, [first, beside], plots, plot)


def _plot(name: str, visible: bool = True) -> tuple[gr.Column, gr.HTML, gr.Plot]:
    with gr.Column(min_width=300, visible=visible, elem_classes=["panel"]) as column:
        title = gr.HTML(heading(" "), elem_classes=["flush"])
        figure = gr.Plot(
            empty_figure(), show_label=False, elem_id=f"vae-codes-{name}", elem_classes=["plotted"]
        )
    return column, title, figure


def _wire_rows(
    lab: Lab, slot: str, press: Buttons, inputs: Sequence[Any], rows: Sequence[Any], fn: Any
) -> None:
    """Bind a button to a handler that fills rows of (column, title, picture)."""
    filled = [part for _, title, picture in rows for part in (title, picture)]
    press.generate.click(
        fn,
        list(inputs),
        [press.status, press.stop, *filled],
        preprocess=False,
        concurrency_limit=None,
        trigger_mode="multiple",
        **PRIVATE,
    )
    stoppable(lab, slot, press.stop)
