"""Mode Draw a digit: encoded, placed and restored by each VAE, noised and denoised by diffusion.

Knows no tensor.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import gradio as gr
import numpy as np

from genlab.families.pixel_diffusion.request import DenoiseRequest, written
from genlab.families.vae.request import ReconstructRequest
from genlab.formats.metadata import ModelMetadata
from genlab.models.examples import Examples, examples
from genlab.requests import Request, UserError, parse_request
from genlab.ui.cells import Cell
from genlab.ui.components.panel import PRIVATE, buttons, heading, missing, numbered
from genlab.ui.components.run_button import on_press
from genlab.ui.context import AppContext
from genlab.ui.live_run import Frame, live_run
from genlab.ui.state.controls import UNSHARED
from genlab.ui.tabs.latents.draw_view import denoised_rows, placed, restored
from genlab.ui.tabs.latents.drawn_digit import centred, read_digit
from genlab.ui.tabs.vae.kinds import flat, reconstructs

SLOT = "latents-draw"
DATASET = "mnist"
INTRO = (
    "**Draw a digit** with mouse, pen or finger. Each VAE encodes it, says where it lies, and "
    "draws it again; diffusion noises it to **t** and denoises it from there, four times. From "
    "which t on is it another digit? And what comes back of something that is no digit at all?"
)
PAD = """<div class="pad"><div class="sheet"><canvas width="280" height="280" tabindex="0"
role="application" aria-label="A black square to draw a digit on with mouse, pen or finger"
aria-describedby="latents-draw-keys"></canvas></div>
<p><button type="button" class="clear">Clear</button>
<label class="file">A picture file<input type="file" accept="image/*"></label></p>
<p class="note" id="latents-draw-keys">By keys: arrows move, Space puts the pen down or lifts
it.</p>
<p class="note">A file stays in this browser: 28 × 28 grey values are sent.</p>
<p class="note told" role="status"></p></div>"""
TEST_DIGITS = 100  # to choose from
MOST_VAES = 6
PLACED = 500  # test pictures around a code in the plane
STEPS = 50  # of DDIM over all timesteps
TIMESTEP, LAST = 300, 980
TIMES = 4  # noises


def build(context: AppContext) -> None:
    """Add the mode's content to the tab."""
    if not digit_vaes(context) and _diffusion(context) is None:
        missing("VAE or diffusion", "vae-mnist-20d")
        return
    gr.Markdown(INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["bench"]):
        with gr.Column(scale=1, min_width=280, elem_classes=["controls"]):
            gr.HTML(PAD, elem_id=f"{SLOT}-pad", elem_classes=["flush"])
            timestep, _ = numbered(
                f"{SLOT}-timestep", "Noise to t",
                "0 is the picture; the higher t, the less of it is left.",
                0, LAST, TIMESTEP, 20,
            )  # fmt: skip
            centre = gr.Checkbox(
                True, label="Centred as MNIST's digits are", elem_id=f"{SLOT}-centred",
                info="Scaled to 20 pixels, its mass in the middle. See what comes without.",
            )  # fmt: skip
            digit, _ = numbered(
                f"{SLOT}-digit", "Or a test picture", "By number, while nothing is drawn.",
                1, TEST_DIGITS, 4,
            )  # fmt: skip
            press = buttons(SLOT, "Encode and denoise")
        with gr.Column(scale=3, min_width=300):
            with gr.Column(elem_classes=["panel"]):
                gr.HTML(heading("What each VAE makes of it"), elem_classes=["flush"])
                restorations = gr.HTML(
                    restored(None, (), ()), elem_id=f"{SLOT}-restored", elem_classes=["flush"]
                )
            with gr.Column(elem_classes=["panel"]):
                gr.HTML(heading("What diffusion makes of it"), elem_classes=["flush"])
                rows = gr.HTML(
                    denoised_rows(None, TIMES), elem_id=f"{SLOT}-denoised", elem_classes=["flush"]
                )
            with gr.Column(elem_classes=["panel"]):
                gr.HTML(heading("Where it lies: mind the axes"), elem_classes=["flush"])
                places = gr.HTML(elem_id=f"{SLOT}-places", elem_classes=["flush"])
    picture = gr.Textbox(visible="hidden", elem_id=f"{SLOT}-picture", elem_classes=[UNSHARED])
    drawn = gr.Button(visible="hidden", elem_id=f"{SLOT}-drawn")

    async def draw(
        request: gr.Request, picture: Any, digit: Any, centre: Any, timestep: Any
    ) -> AsyncIterator[tuple[Any, ...]]:
        if digit is None or timestep is None:  # a box that is being typed into
            yield (gr.skip(),) * 5
            return
        given = np.zeros((28, 28), np.uint8)
        wanted: list[Request] = []

        def cells() -> list[Cell]:
            nonlocal given
            known = _examples(context)
            given = given_picture(known, picture, digit, centre)
            wanted.extend(requests_for(context, given, known, timestep))
            return [Cell((one,)) for one in wanted]

        owner = str(request.session_hash)
        context.openings.has_own(owner, SLOT)  # something is drawn: not what the panel opens with
        async for frame in live_run(context, owner, SLOT, cells, alone_may_fail=False):
            on = gr.update(interactive=frame.running)
            yield frame.status, on, *shown(given, wanted, frame)

    def shown(given: np.ndarray, wanted: Sequence[Request], frame: Frame) -> list[Any]:
        """What the VAEs make of it, what diffusion does, and where it lies."""
        if not frame.changed:
            return [gr.skip()] * 3
        done = [
            (context.registry.entry(request.checkpoint), view.results[0])
            for request, view in zip(wanted, frame.cells, strict=True)
            if view.done
        ]
        encoded = [(entry, result) for entry, result in done if entry.family == "vae"]
        vaes = sum(isinstance(request, ReconstructRequest) for request in wanted)
        updates: list[Any] = [gr.skip()] * 3
        if encoded and len(encoded) == vaes:
            titles = [entry.title for entry, _ in encoded]
            updates[0] = restored(given, titles, [r.images[0] for _, r in encoded])
            known = _examples(context)
            updates[2] = placed(
                [(e.title, r.extras["mu"]) for e, r in encoded if flat(e)], known, PLACED, given
            )
        for entry, result in done:
            if entry.family == "pixel_diffusion":
                updates[1] = denoised_rows(result, TIMES)
        return updates

    inputs, outputs = [picture, digit, centre, timestep], [restorations, rows, places]
    on_press(context, SLOT, press, draw, inputs, outputs)
    light: dict[str, Any] = {"preprocess": False, **PRIVATE}
    gr.on(
        [picture.change, digit.change, centre.change, timestep.change], draw, inputs,
        [press.status, press.stop, *outputs],
        trigger_mode="always_last", concurrency_limit=None, **light,
    )  # fmt: skip
    drawn.click(None, None, picture, js="() => genlabDraw.value()", show_progress="hidden")
    digit.change(None, None, picture, js="() => genlabDraw.leave()", show_progress="hidden")


def given_picture(known: Examples, picture: Any, digit: Any, centre: Any) -> np.ndarray:
    """What was drawn, or a test picture while nothing is; raises UserError for what is neither."""
    if picture:
        own = read_digit(picture)
        return centred(own) if centre else own
    return known_digit(known, digit)


def known_digit(known: Examples, number: Any) -> np.ndarray:
    """A test picture, counted from 1; raises UserError for one that cannot be chosen."""
    most = min(TEST_DIGITS, len(known.images))
    if not isinstance(number, (int, float)) or number not in range(1, most + 1):
        raise UserError(f"The test picture is {number!r}, but must be a number from 1 to {most}.")
    return known.images[int(number) - 1]


def requests_for(
    context: AppContext, given: np.ndarray, known: Examples, timestep: Any
) -> list[Request]:
    """A reconstruction by each VAE, those of the plane with test pictures; and diffusion's."""
    wanted: list[Request] = []
    for entry in digit_vaes(context):
        images = given[None]
        if flat(entry):
            images = np.concatenate([images, known.images[:PLACED]])
        wanted.append(parse_request(ReconstructRequest, checkpoint=entry.name, images=images))
    diffusion = _diffusion(context)
    if diffusion is not None:
        wanted.append(
            parse_request(
                DenoiseRequest, checkpoint=diffusion.name, picture=written(given), count=TIMES,
                guidance="none", num_inference_steps=STEPS, start_timestep=timestep,
                trajectory=True,
            )
        )  # fmt: skip
    return wanted


def digit_vaes(context: AppContext) -> list[ModelMetadata]:
    """The VAEs of digits that have an encoder, those of a plane last."""
    fitting = [
        entry
        for entry in context.registry.of_family("vae")
        if entry.dataset == DATASET and reconstructs(entry)
    ]
    return sorted(fitting, key=lambda entry: (flat(entry), entry.name))[:MOST_VAES]


def _diffusion(context: AppContext) -> ModelMetadata | None:
    listed = context.registry.of_family("pixel_diffusion")
    return next((entry for entry in listed if entry.dataset == DATASET), None)


def _examples(context: AppContext) -> Examples:
    return examples(context.registry, DATASET)
