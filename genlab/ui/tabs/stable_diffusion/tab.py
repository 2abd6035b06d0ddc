"""The Stable Diffusion tab: one prompt and its settings, and the modes that use them."""

from __future__ import annotations

import gradio as gr

from genlab.ui.components.panel import missing
from genlab.ui.context import AppContext
from genlab.ui.tabs.stable_diffusion import cfg, curves, few_steps, generate, grid, redraw
from genlab.ui.tabs.stable_diffusion.controls import (
    Controls,
    negative_prompt,
    prompt_controls,
    scheduler_and_seed,
    strength_controls,
    tell_unknown_words,
)
from genlab.ui.tabs.stable_diffusion.loras import lora_controls
from genlab.ui.tabs.stable_diffusion.models import more_models, usable, wire_models

INTRO = (
    "Noise becomes a picture in steps, each nudged towards the prompt. Try **guidance scale** 1, "
    "4 and 15 on one seed: what gets better, and what is lost?"
)
MODES = {
    "Generate": generate.build,
    "Grid": grid.build,
    "Curves": curves.build,
    "What CFG does": cfg.build,
    "Few steps": few_steps.build,
    "Redraw": redraw.build,
}
PRESS_WHAT_IS_SHOWN = """() => [...document.querySelectorAll("#sd-modes .go button.primary")]
    .find(button => button.offsetParent !== null)?.click()"""


def build(context: AppContext) -> None:
    """Add the tab's content to the page."""
    entries = usable(context)
    if not entries:
        missing("Stable Diffusion", "stable-diffusion-toybox")
        return
    gr.Markdown(INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["bench", "three"]):
        with gr.Column(min_width=300, elem_classes=["controls"]):
            checkpoint, prompt, words = prompt_controls(context, entries)
        with gr.Column(min_width=300, elem_classes=["controls", "strength"]):
            strength = strength_controls()
        # It comes after the modes: on a phone, and for the tab key.
        with gr.Column(min_width=300, elem_classes=["controls", "settings"], render=False) as last:
            scheduler, seed = scheduler_and_seed()
            negative = negative_prompt()
            loras = lora_controls(context)
            more = more_models(context)
        controls = Controls(checkpoint, prompt, negative, *strength, scheduler, seed, loras)
        wire_models(context, controls, more)
        tell_unknown_words(context, controls, words)
        with (
            gr.Column(min_width=300, elem_classes=["shown"]),
            gr.Tabs(elem_id="sd-modes", elem_classes=["modes"], overflow_behavior="wrap"),
        ):
            for name, mode in MODES.items():
                with gr.Tab(name, id=f"sd-{name.lower().replace(' ', '-')}"):
                    mode(context, controls)
        last.render()
    gr.on(
        [controls.prompt.submit, controls.negative.submit],
        None, None, None, js=PRESS_WHAT_IS_SHOWN, show_progress="hidden",
    )  # fmt: skip
