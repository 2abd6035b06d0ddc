"""Mode 2-D codes: where test pictures lie among the codes, and what any place there decodes to.

Knows no tensor.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from html import escape
from typing import Any

import gradio as gr

from genlab.families.latents import DecodeRequest
from genlab.families.vae.request import ReconstructRequest
from genlab.formats.metadata import ModelMetadata
from genlab.models.examples import examples
from genlab.requests import UserError, parse_request
from genlab.ui.cells import Cell, CellView
from genlab.ui.chained_run import Views, chained_run
from genlab.ui.components.panel import (
    PRIVATE,
    buttons,
    chooser,
    heading,
    missing,
    numbered,
    pair,
    shows_second,
)
from genlab.ui.components.pictures import blank, grid
from genlab.ui.components.run_button import on_press
from genlab.ui.context import AppContext
from genlab.ui.live_run import Frame, live_run
from genlab.ui.model_choices import lists
from genlab.ui.tabs.vae.codes_plot import NEAR, empty_plane, farthest, grid_codes, plane
from genlab.ui.tabs.vae.kinds import flat, reconstructs

SLOT = "vae-codes"
INTRO = (
    "**Click or drag on a plane:** the digit of that place is drawn at once. Each dot is a test "
    "picture's code, the circles are **N(0, I)** at 1, 2 and 3 σ, where samples are drawn. With KL "
    "nearly all codes lie in them, most classes crowded in the middle. Without, 0s, 1s and 6s run "
    "far out in arms (**widen the axes**), and between them are holes."
)
CODED = 1000  # dots in the plot
REACH = 25.0  # of the numbers; our own codes end at 24
AXES = [("±4, where samples are drawn", "near"), ("as far as the farthest code", "far")]
SHOWN = [("codes over digits", "both"), ("digits", "digits"), ("codes", "codes")]


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
            axes = chooser(f"{SLOT}-axes", "Axes", "The same on both planes.", AXES, "near")
            shown = chooser(f"{SLOT}-shown", "Shown", "Over and under each other.", SHOWN, "both")
            places = [
                numbered(f"{SLOT}-z{k}", f"z{k}", info, -REACH, REACH, 0, 0.05)
                for k, info in ((1, "From left to right."), (2, "From bottom to top."))
            ]
            press = buttons(SLOT, "Plot the codes")
        with gr.Column(scale=3, min_width=300):
            digits = gr.HTML(
                blank(2, 1), elem_id=f"{SLOT}-digits", elem_classes=["flush", "at-place"]
            )
            with gr.Row(elem_classes=["panels"], elem_id=f"{SLOT}-planes"):
                planes = [_panel("first"), _panel("second", bool(beside.value))]
    shows_second(beside, planes[1][0])
    z = [number for number, _ in places]

    async def plot(
        request: gr.Request, checkpoint: Any, other: Any, axes: Any, z1: Any, z2: Any
    ) -> AsyncIterator[tuple[Any, ...]]:
        names = [checkpoint, other] if other else [checkpoint]

        def encoded() -> list[Cell]:
            dataset = context.registry.entry(str(checkpoint)).dataset
            images = examples(context.registry, dataset).images[:CODED]
            wanted = [parse_request(ReconstructRequest, checkpoint=n, images=images) for n in names]
            return [Cell((one,)) for one in wanted]

        def decoded(found: Views) -> list[Cell]:
            z = grid_codes(reach_of(axes, found))
            wanted = [parse_request(DecodeRequest, checkpoint=n, z=z) for n in names]
            return [*(Cell((one,)) for one in wanted), *at_place(names, z1, z2)]

        owner = str(request.session_hash)
        async for frame, found in chained_run(context, owner, SLOT, encoded, decoded):
            on = gr.update(interactive=frame.running)
            yield frame.status, on, *figures(names, frame, found, axes, z1, z2)

    def figures(
        names: Sequence[str], frame: Frame, found: Views, axes: Any, z1: Any, z2: Any
    ) -> list[Any]:
        """The digits, and heading and plane of each checkpoint."""
        if frame.running or not frame.cells or not all(view.done for view in frame.cells):
            return [gr.skip()] * 5
        pictures = examples(context.registry, context.registry.entry(names[0]).dataset)
        labels, reach = pictures.labels[:CODED], reach_of(axes, found)
        shown: list[Any] = [drawn(names, frame.cells[len(names) :], z1, z2)]
        for name, codes, view in zip(names, found, frame.cells, strict=False):
            mu, decoded = codes.results[0].extras["mu"], view.results[0].images
            shown += [
                heading(context.registry.entry(name).title),
                plane(mu, labels, pictures.classes, decoded, reach),
            ]
        return shown + [gr.skip()] * (5 - len(shown))

    async def touch(
        request: gr.Request, checkpoint: Any, other: Any, z1: Any, z2: Any
    ) -> AsyncIterator[tuple[Any, ...]]:
        names = [checkpoint, other] if other else [checkpoint]
        if z1 is None or z2 is None:  # a box that is being typed into
            yield gr.skip(), gr.skip()
            return
        owner, slot = str(request.session_hash), f"{SLOT}-place"
        async for frame in live_run(
            context, owner, slot, lambda: at_place(names, z1, z2), alone_may_fail=False
        ):
            done = not frame.running and frame.cells and all(view.done for view in frame.cells)
            status = gr.skip() if frame.running else frame.status
            yield status, drawn(names, frame.cells, z1, z2) if done else gr.skip()

    async def again(request: gr.Request, *values: Any) -> AsyncIterator[Any]:
        async for _, picture in touch(request, *values):
            yield picture

    def drawn(names: Sequence[str], views: Sequence[CellView], z1: float, z2: float) -> str:
        """What each checkpoint makes of a place, side by side."""
        titles = [context.registry.entry(name).title for name in names]
        alts = [f"The picture at z = ({z1:g}, {z2:g}), drawn by {title}" for title in titles]
        images = [view.results[0].images[0] for view in views]
        place = f"<small>z = ({z1:g}, {z2:g})</small>".replace("-", "−")
        pictures = "".join(
            f"<div>{grid(image[None], columns=1, alts=[alt])}<p>{escape(title)}{place}</p></div>"
            for image, alt, title in zip(images, alts, titles, strict=True)
        )
        return f'<div class="places">{pictures}</div>'

    outputs = [digits, *(part for _, title, figure in planes for part in (title, figure))]
    on_press(context, SLOT, press, plot, [first, beside, axes, *z], outputs)
    light: dict[str, Any] = {"preprocess": False, **PRIVATE}
    gr.on(
        [number.change for number in z], touch, [first, beside, *z], [press.status, digits],
        trigger_mode="always_last", concurrency_limit=None, **light,
    )  # fmt: skip
    renewed = [figure.change for _, _, figure in planes]
    gr.on(  # what a panel opens with is of the middle, whatever an address has set
        renewed, again, [first, beside, *z], digits,
        trigger_mode="always_last", concurrency_limit=None, **light,
    )  # fmt: skip
    gr.on(
        [*(number.change for number in z), shown.change, *renewed],
        None, [*z, shown], None, js="(...values) => genlabPlane.moved(...values)",
    )  # fmt: skip
    pressed = gr.Button(visible="hidden", elem_id=f"{SLOT}-touch")
    both = [part for place in places for part in place]
    pressed.click(
        None, None, both, js="() => genlabPlane.at().flatMap(z => [z, z])", show_progress="hidden"
    )


def at_place(names: Sequence[str], z1: Any, z2: Any) -> list[Cell]:
    """One picture of each checkpoint at a place; raises UserError for one that is none."""
    for name, value in (("z1", z1), ("z2", z2)):
        if not isinstance(value, (int, float)) or not -REACH <= value <= REACH:
            raise UserError(f"{name} is {value!r}, but must be from {-REACH:g} to {REACH:g}.")
    return [Cell((parse_request(DecodeRequest, checkpoint=name, z=[[z1, z2]]),)) for name in names]


def reach_of(axes: Any, found: Views) -> float:
    """How far the axes go, by the choice and the codes that were found."""
    if axes not in [value for _, value in AXES]:
        raise UserError(f"axes is {axes!r}, but must be one of near, far.")
    if axes == "near":
        return NEAR
    return farthest([view.results[0].extras["mu"] for view in found])


def _panel(name: str, visible: bool = True) -> tuple[gr.Column, gr.HTML, gr.HTML]:
    with gr.Column(min_width=300, visible=visible, elem_classes=["panel"]) as column:
        title = gr.HTML(heading(), elem_classes=["flush"])
        figure = gr.HTML(empty_plane(), elem_id=f"{SLOT}-{name}", elem_classes=["flush"])
    return column, title, figure
