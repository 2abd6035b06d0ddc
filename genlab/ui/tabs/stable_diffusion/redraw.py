"""Mode Redraw: a picture noised to a strength and denoised towards the prompt, all or a part of it.

Knows no tensor.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.requests import UserError
from genlab.ui.cells import Cell, CellView
from genlab.ui.components.panel import buttons, drawn, heading, numbered, panel
from genlab.ui.components.pictures import blank, grid
from genlab.ui.components.run_button import on_press
from genlab.ui.context import AppContext
from genlab.ui.live_run import live_run
from genlab.ui.state.controls import UNSHARED
from genlab.ui.tabs.stable_diffusion.controls import Controls, request_of
from genlab.ui.tabs.stable_diffusion.recipe_box import RecipeBox

SLOT = "sd-redraw"
STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0)
INTRO = (
    "**Begin with a picture instead of noise**: it is noised as far as the last *strength* of the "
    "steps begin, then denoised towards the prompt. Paint over a part, and only that is drawn "
    "anew. Up to which strength is it still the same picture, and from which on does it obey?"
)
FIRST = base64.b64encode((Path(__file__).parent / "redraw.png").read_bytes()).decode()
"""What it opens with: drawn by Toybox, its recipe inside."""
PAD = f"""<div class="pad" data-picture="data:image/png;base64,{FIRST}">
<div class="sheet"><canvas width="512" height="512" tabindex="0" role="application"
aria-label="The picture to begin with; paint over what is to be drawn anew"
aria-describedby="sd-redraw-keys"></canvas></div>
<p><button type="button" class="clear">Clear the paint</button>
<button type="button" class="half">Paint the upper half</button>
<button type="button" class="drawn">Take Generate's first</button>
<label class="file">A picture file<input type="file" accept="image/*"></label></p>
<p class="note" id="sd-redraw-keys">By keys: arrows move, Space puts the brush down or lifts it.</p>
<p class="note">Its middle square is sent, nothing else.</p>
<p class="note told" role="status"></p></div>"""


def build(context: AppContext, controls: Controls) -> None:
    """Add the mode's content to the tab."""
    gr.Markdown(INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["split"]):
        with gr.Column(scale=1, min_width=280, elem_classes=["controls"]):
            gr.HTML(
                PAD, elem_id=f"{SLOT}-pad", elem_classes=["flush"],
                js_on_load="genlabRedraw.begin()",
            )  # fmt: skip
            strength, strength_slider = numbered(
                f"{SLOT}-strength", "strength",
                "The share of the steps that are taken: 1 leaves next to nothing of the picture.",
                0.05, 1, 0.6, 0.05,
            )  # fmt: skip
            count, count_slider = numbered(f"{SLOT}-count", "Count", "How many pictures.", 1, 16, 4)
            press = buttons(SLOT, "Redraw")
            box = RecipeBox(f"{SLOT}-png", "Drop a redrawn GenLab PNG")
        with gr.Column(scale=2, min_width=300, elem_classes=["tall"]):
            shown = panel(SLOT)
            gr.HTML(heading("At every strength, from the same noise"), elem_classes=["flush"])
            along = gr.HTML(
                blank(len(STRENGTHS), 1), elem_id=f"{SLOT}-strengths", elem_classes=["flush"]
            )
    unseen: dict[str, Any] = {"visible": "hidden", "elem_classes": [UNSHARED]}
    picture = gr.Textbox(elem_id=f"{SLOT}-picture", **unseen)
    mask = gr.Textbox(elem_id=f"{SLOT}-mask", **unseen)
    taken = gr.Button(visible="hidden", elem_id=f"{SLOT}-taken")
    taken.click(
        None, None, [picture, mask], js="() => genlabRedraw.written()", show_progress="hidden"
    )

    given = box.wire(
        context, controls, "Redraw", redrawn,
        [strength, strength_slider, count, count_slider, picture, mask],
        lambda request: [
            request.strength, request.strength, request.count, request.count, request.picture,
            request.mask,
        ],
    )  # fmt: skip
    given.success(None, [picture, mask], None, js="genlabRedraw.given", show_progress="hidden")

    async def run(request: gr.Request, *values: Any) -> AsyncIterator[tuple[Any, ...]]:
        wanted: list[StableDiffusionRequest] = []

        def cells() -> Sequence[Cell]:
            wanted.extend(requests_for(*values))
            return [Cell((wanted[0],)), Cell(tuple(wanted[1:]))]

        owner = str(request.session_hash)
        async for frame in live_run(context, owner, SLOT, cells, alone_may_fail=False):
            main: Sequence[Any] = [gr.skip()] * 3
            strip: Any = gr.skip()
            if 0 in frame.changed:
                main = drawn(context, wanted[0], frame.cells[0])
            if 1 in frame.changed:
                strip = at_every_strength(wanted[1:], frame.cells[1])
            yield frame.status, gr.update(interactive=frame.running), *main, strip

    inputs = [*controls.inputs, strength, count, picture, mask]
    on_press(context, SLOT, press, run, inputs, [*shown.outputs, along])


def redrawn(request: StableDiffusionRequest) -> None:
    """Raise UserError for a picture that began with noise alone."""
    if not request.picture:
        raise UserError("That picture began with noise: put it into Generate instead.")


def requests_for(*values: Any) -> list[StableDiffusionRequest]:
    """The request of what the mode's controls say, then its first picture at each of STRENGTHS.

    Begins with FIRST where no other picture was taken; raises UserError.
    """
    *settings, strength, count, picture, mask = values
    request = request_of(
        settings, strength=strength, count=count, picture=picture or FIRST, mask=mask,
        preview_every=3, judge=True,
    )  # fmt: skip
    first = request.for_image(0)
    along = [first.model_copy(update={"strength": value}) for value in STRENGTHS]
    return [request, *(one for one in along if one.steps_taken)]


def at_every_strength(requests: Sequence[StableDiffusionRequest], view: CellView) -> Any:
    """The pictures of the requests in a row, each with its strength; unchanged before any."""
    pictures = view.pictures or view.previews
    if pictures is None or not len(pictures):
        return gr.skip()
    captions = [f"{request.strength:g}" for request in requests]
    alts = [f"redrawn at strength {caption}" for caption in captions]
    return grid(pictures, captions, columns=len(pictures), alts=alts, name="At every strength")
