"""The Guidance tab: its controls, and the modes that use them. Knows no tensor."""

from __future__ import annotations

from dataclasses import fields
from html import escape
from typing import Any

import gradio as gr

from genlab.diffusion.schedulers import SCHEDULERS, pixel_scheduler_names
from genlab.formats.metadata import ModelMetadata
from genlab.ui.components.panel import (
    PRIVATE,
    chooser,
    missing,
    numbered,
    seed_and_count,
    titles,
)
from genlab.ui.context import AppContext
from genlab.ui.tabs.guidance import scale, side_by_side, steps, trajectory
from genlab.ui.tabs.guidance.inputs import GuidanceInputs, class_names, row_note
from genlab.ui.tabs.guidance.scale_plots import REACH

INTRO = (
    "One network predicts the noise, told the class (<i>ε</i><sub>c</sub>) or not "
    "(<i>ε</i><sub>u</sub>). **Guidance** bends each step towards a class, by a classifier's "
    "gradient or by <i>ε</i><sub>c</sub> itself. Turn <i>s</i> up: what gets better, what is lost?"
)
PRESS = (
    "() => [...document.querySelectorAll('#guidance-modes .redraws')]"
    ".find(button => button.offsetParent)?.click()"
)
"""Runs the open mode anew, if it is one of the quick ones."""


def build(context: AppContext) -> None:
    """Add the tab's content to the page."""
    entries = context.registry.of_family("pixel_diffusion")
    if not entries:
        missing("pixel diffusion", "ddpm-mnist")
        return
    entries.sort(key=lambda entry: (entry.dataset != "mnist", entry.name))
    gr.Markdown(INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["bench", "guided"]):
        with gr.Column(min_width=260, elem_classes=["controls"]):
            checkpoint = chooser(
                "guidance-checkpoint", "Checkpoint", "The trained model that draws.",
                titles(entries), entries[0].name,
            )  # fmt: skip
            digits = gr.Textbox(
                "3", label="Digits", lines=1, elem_id="guidance-digits",
                info="One class, a row such as 3 1 4 1 5, or nothing: all ten in turn.",
            )  # fmt: skip
            row = gr.HTML(elem_id="guidance-row", elem_classes=["flush"])
        with gr.Column(min_width=260, elem_classes=["controls", "strength"]):
            strength = _strength(entries[0])
        # It comes after the modes: on a phone, and for the tab key.
        with gr.Column(min_width=260, elem_classes=["controls", "settings"], render=False) as last:
            seed, count = seed_and_count("guidance", 64, 16)
            sampler = _sampler()
        controls = [checkpoint, digits, seed, count, *strength, *sampler]
        assert len(controls) == len(fields(GuidanceInputs))
        with (
            gr.Column(min_width=300, elem_classes=["shown"]),
            gr.Tabs(elem_classes=["modes"], elem_id="guidance-modes", overflow_behavior="wrap"),
        ):
            with gr.Tab("Side by side", id="guidance-side"):
                side_by_side.build(context, controls)
            with gr.Tab("Filmstrip", id="guidance-film"):
                trajectory.build(context, controls)
            with gr.Tab("Steps", id="guidance-steps"):
                steps.build(context, controls)
            with gr.Tab("Scale", id="guidance-scale") as scales:
                scale.build(context, controls, scales)
        last.render()
    digits.submit(None, None, None, js=PRESS)

    def read_row(name: Any, text: Any) -> str:
        entry = context.registry.entry(str(name))
        words = row_note(str(text or ""), class_names(context.registry, entry.dataset))
        return f'<p class="note" role="status">{escape(words)}</p>' if words else ""

    gr.on(
        [digits.change, checkpoint.change], read_row, [checkpoint, digits], row,
        queue=False, preprocess=False, trigger_mode="always_last", **PRIVATE,
    )  # fmt: skip


def best_scale(entry: ModelMetadata, method: str) -> float:
    """The scale of the lowest FID among those measured; 2 if none were.

    More of a classifier's gradient leads more pictures to the class without end, so that its label
    accuracy is best at the largest scale that was tried.
    """
    points = [p for p in scale.measured_scales(entry).get(method, ()) if p.get("fid") is not None]
    return min(points, key=lambda p: p["fid"])["guidance_scale"] if points else 2


def _strength(entry: ModelMetadata) -> list[gr.components.Component]:
    """What the modes are about: steps, and both scales, at first those of the lowest FID."""
    step_count, steps_slider = numbered(
        "guidance-steps", "num_inference_steps", "How many denoising steps.", 1, 100, 50
    )
    free, free_slider = numbered(
        "guidance-free-scale", "guidance_scale s, classifier-free",
        "0 is the model told no class, 1 the conditional prediction alone.", 0, 20,
        entry.metrics.get("guidance_scale", 2), 0.5,
    )  # fmt: skip
    classifier, classifier_slider = numbered(
        "guidance-classifier-scale", "guidance_scale s, classifier",
        "How far each step follows the gradient; 0 is the model told no class.", 0, REACH,
        best_scale(entry, "classifier"), 0.5,
    )  # fmt: skip
    for slider in (steps_slider, free_slider, classifier_slider):
        slider.release(None, None, None, js=PRESS)
    for number in (step_count, free, classifier):
        number.submit(None, None, None, js=PRESS)
    return [step_count, free, classifier]


def _sampler() -> list[gr.components.Component]:
    """Scheduler and eta."""
    scheduler = chooser(
        "guidance-scheduler", "Scheduler", "The rule from predicted noise to the next picture.",
        sorted((SCHEDULERS[name].label, name) for name in pixel_scheduler_names()), "ddim",
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
    eta_slider.release(None, None, None, js=PRESS)
    eta.submit(None, None, None, js=PRESS)
    return [scheduler, eta]
