"""The Guidance tab: the controls, and its modes side by side and filmstrip. Knows no tensor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import fields
from typing import Any

import gradio as gr
import numpy as np

from genlab.engine import Failed, Result
from genlab.models.registry import Entry
from genlab.requests import FILM_FRAMES, Request, UserError, ask
from genlab.requests import PixelDiffusionRequest as Asked
from genlab.ui.components.metric_strip import strip
from genlab.ui.components.panel import (
    PRIVATE,
    buttons,
    chooser,
    heading,
    missing,
    numbered,
    seed_and_count,
    stoppable,
    titles,
)
from genlab.ui.components.pictures import blank, grid
from genlab.ui.context import Lab
from genlab.ui.live_run import Frame, complaint, play
from genlab.ui.tabs.guidance.cells import Figures, Plan, preview_every, wire_cells
from genlab.ui.tabs.guidance.filmstrip import FOLLOW, TOLD, film
from genlab.ui.tabs.guidance.plots import REACH, film_curve
from genlab.ui.tabs.guidance.settings import METHODS, Wish
from genlab.ui.tabs.guidance.sweeps import build_scales, build_steps

INTRO = (
    "One network predicts the noise, told the class (<i>ε</i><sub>c</sub>) or not "
    "(<i>ε</i><sub>u</sub>). **Guidance** bends each step towards a class, by a classifier's "
    "gradient or by <i>ε</i><sub>c</sub> itself. Turn <i>s</i> up: what gets better, what is lost?"
)
SIDE = "The same noise, three ways. Without guidance the digit is whatever the noise becomes."
FILM = (
    "One picture of the row, step by step: the noisy <i>x<sub>t</sub></i>, and the clean "
    "<i>x</i><sub>0</sub> that each prediction stands for. **When** is the class decided?"
)
SCHEDULER_NAMES = {"ddim": "DDIM", "ddpm": "DDPM", "dpmpp-2m": "DPM++ 2M", "euler": "Euler"}
ROW = 5  # a typed row of up to so many pictures stands in one line
PRESS = (
    "() => [...document.querySelectorAll('#guidance-modes .redraws')]"
    ".find(button => button.offsetParent)?.click()"
)
"""Runs the open mode anew, if it is one of the quick ones."""


def build(lab: Lab) -> None:
    """Add the tab's content to the page."""
    entries = lab.catalogue.of_family("pixel_diffusion")
    if not entries:
        missing("pixel diffusion", "ddpm-mnist")
        return
    entries.sort(key=lambda entry: (entry.dataset != "mnist", entry.name))
    gr.Markdown(INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["bench", "guided"]):
        with gr.Column(min_width=260, elem_classes=["controls", "asked"]):
            checkpoint = chooser(
                "guidance-checkpoint", "Checkpoint", "The trained model that draws.",
                titles(entries), entries[0].name,
            )  # fmt: skip
            digits = gr.Textbox(
                "3", label="Digits", lines=1, elem_id="guidance-digits",
                info="One class, a row such as 3 1 4 1 5, or nothing: all ten in turn.",
            )  # fmt: skip
            seed, count = seed_and_count("guidance", 64, 16)
        with gr.Column(min_width=260, elem_classes=["controls", "settings"]):
            sampler = _sampler(entries[0])
        controls = [checkpoint, digits, seed, count, *sampler]
        assert len(controls) == len(fields(Wish))
        with (
            gr.Column(min_width=300, elem_classes=["shown"]),
            gr.Tabs(elem_classes=["modes"], elem_id="guidance-modes"),
        ):
            with gr.Tab("Side by side", id="guidance-side"):
                _side_by_side(lab, controls)
            with gr.Tab("Filmstrip", id="guidance-film"):
                _filmstrip(lab, controls)
            with gr.Tab("Steps", id="guidance-ladder"):
                build_steps(lab, controls)
            with gr.Tab("Scale", id="guidance-scales") as scales:
                build_scales(lab, controls, scales)
    digits.submit(None, None, None, js=PRESS)


def _sampler(entry: Entry) -> list[gr.components.Component]:
    """Steps, both scales (at first the best ones measured), scheduler and eta, as in ``Wish``."""
    steps, steps_slider = numbered(
        "guidance-steps", "num_inference_steps", "How many denoising steps.", 1, 100, 50
    )
    free, free_slider = numbered(
        "guidance-free-scale", "guidance_scale s, classifier-free",
        "0 is unguided, 1 the conditional prediction alone.", 0, 20,
        entry.metrics.get("guidance_scale", 2), 0.5,
    )  # fmt: skip
    classifier, classifier_slider = numbered(
        "guidance-classifier-scale", "guidance_scale s, classifier",
        "How far each step follows the gradient; 0 is unguided.", 0, REACH,
        entry.metrics.get("classifier_guidance_scale", 2), 0.5,
    )  # fmt: skip
    scheduler = chooser(
        "guidance-scheduler", "Scheduler", "The rule from predicted noise to the next picture.",
        [(words, name) for name, words in SCHEDULER_NAMES.items()], "ddim",
    )  # fmt: skip
    eta, eta_slider = numbered(
        "guidance-eta", "eta", "For DDIM only: fresh noise in each step, none to DDPM's.",
        0, 1, 0, 0.1,
    )  # fmt: skip

    def only_ddim(chosen: Any) -> tuple[gr.Number, gr.Slider]:
        ddim = chosen == "ddim"
        return gr.Number(interactive=ddim), gr.Slider(interactive=ddim)

    scheduler.change(
        only_ddim, scheduler, [eta, eta_slider], queue=False, preprocess=False, **PRIVATE
    )
    for slider in (steps_slider, free_slider, classifier_slider, eta_slider):
        slider.release(None, None, None, js=PRESS)
    for number in (steps, free, classifier, eta):
        number.submit(None, None, None, js=PRESS)
    return [steps, free, classifier, scheduler, eta]


# --- side by side -----------------------------------------------------------------------------


def _side_by_side(lab: Lab, controls: Sequence[gr.components.Component]) -> None:
    gr.Markdown(SIDE, elem_classes=["intro"])
    press = buttons("guidance", looks=["redraws"])
    cells = []
    with gr.Row(elem_classes=["panels"]):
        for name, method in METHODS.items():
            with gr.Column(min_width=260, elem_classes=["panel"]):
                formula = f'<p class="formula">{method.formula}</p>'
                gr.HTML(heading(method.title) + formula, elem_classes=["flush"])
                gallery = gr.HTML(
                    blank(), elem_id=f"guidance-{name}-gallery", elem_classes=["flush"]
                )
                figures = gr.HTML(
                    elem_id=f"guidance-{name}-strip", elem_classes=["figures", "flush"]
                )
                cells.append([gallery, figures])

    def plan(*values: Any) -> Plan:
        wish = Wish(*values)
        planned = Plan()
        every = preview_every(wish.num_inference_steps)
        for method in METHODS:
            planned.add(lambda m=method: wish.request(lab.catalogue, m, preview_every=every))
        return planned

    def draw(
        k: int, images: np.ndarray, result: Result | None, figures: Figures | None
    ) -> Sequence[Any]:
        if result is not None and figures is not None:
            return gr.skip(), strip(figures | {"seconds": result.seconds})
        return grid(images, columns=len(images) if len(images) <= ROW else None), gr.skip()

    wire_cells(lab, "guidance", press, controls, cells, plan, draw)


# --- filmstrip --------------------------------------------------------------------------------


def _filmstrip(lab: Lab, controls: Sequence[gr.components.Component]) -> None:
    gr.Markdown(FILM, elem_classes=["intro"])
    with gr.Row(elem_classes=["beside"]):
        with gr.Column(min_width=260):
            press = buttons("guidance-film", "Run the film", looks=["redraws"])
        which, _ = numbered(
            "guidance-film-picture", "Picture", "Which picture of the row.", 1, 64, 1
        )
    with gr.Column(elem_id=TOLD):
        step = gr.Slider(
            1, FILM_FRAMES, value=FILM_FRAMES, step=1, label="Step",
            info="From noise, left, to the picture. Arrow keys work.",
            elem_id="guidance-film-step", elem_classes=["bare"], buttons=[],
        )  # fmt: skip
        shown = gr.HTML(blank(12, 5), elem_id="guidance-film-shown", elem_classes=["flush"])
        with gr.Row(elem_classes=["curves"]):
            curves = [
                gr.Plot(
                    figure, show_label=False, min_width=280, elem_id=f"guidance-film-{name}",
                    elem_classes=["plotted", "marked"],
                )
                for name, figure in zip(("confidence", "push"), _curves({}), strict=True)
            ]  # fmt: skip

    async def run(
        request: gr.Request, picture: Any, *values: Any
    ) -> AsyncIterator[tuple[Any, ...]]:
        asked: dict[str, Asked] = {}
        faults: list[str] = []

        def build() -> Sequence[Request]:
            wish = Wish(*("" if value is None else value for value in values))
            planned = Plan()
            for method in METHODS:
                planned.add(lambda m=method: one_picture(lab, wish, m, picture))
            faults.extend(cell.message for cell in planned.cells if isinstance(cell, Failed))
            requests = planned.requests
            asked.update(
                (m, cell)
                for m, cell in zip(METHODS, planned.cells, strict=True)
                if isinstance(cell, Asked)
            )
            return requests

        async for frame in play(
            lab, str(request.session_hash), "guidance-film", build, judge=False, apart=True
        ):
            yield frame.status, gr.Button(interactive=frame.running), *filmed(frame, asked, faults)

    def filmed(frame: Frame, asked: dict[str, Asked], faults: Sequence[str]) -> Sequence[Any]:
        """Film, slider and curves, once all has been run."""
        ended = dict(zip(asked, frame.events or (), strict=False))
        extras = {m: e.extras for m, e in ended.items() if isinstance(e, Result)}
        failed = [e.message for e in ended.values() if isinstance(e, Failed)]
        if not extras or len(extras) + len(failed) < len(asked):
            return [gr.skip()] * 4
        told = "".join(map(complaint, dict.fromkeys([*faults, *failed])))
        frames = len(next(iter(extras.values()))["film_steps"])
        slider = gr.Slider(maximum=max(frames, 2), interactive=frames > 1)
        return told + film(extras, asked), slider, *_curves(extras)

    press.generate.click(
        run, [which, *controls], [press.status, press.stop, shown, step, *curves],
        preprocess=False, concurrency_limit=None, trigger_mode="multiple", **PRIVATE,
    )  # fmt: skip
    stoppable(lab, "guidance-film", press.stop)
    gr.on([step.change, step.input, shown.change], None, step, None, js=FOLLOW)


def one_picture(lab: Lab, wish: Wish, method: str, picture: Any) -> Asked:
    """The request for a film of one picture of the row, counted from 1; raises UserError."""
    row = wish.request(lab.catalogue, method)
    if picture not in range(1, row.count + 1):
        raise UserError(f"Picture is {picture!r}, but the row has 1 to {row.count}.")
    k = int(picture) - 1
    one = {"seed": row.seed + k, "count": 1, "labels": (row.labels[k % len(row.labels)],)}
    return ask(Asked, **(row.model_dump() | one | {"film": True}))


def _curves(extras: dict[str, Any]) -> list[Any]:
    return [
        film_curve("Confidence in the wished class", "film_confidence", extras, top=1),
        film_curve("How hard guidance pushes: ‖ε − εᵤ‖", "film_guidance_norm", extras),
    ]
