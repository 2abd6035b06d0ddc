"""The Stable Diffusion tab: a prompt, its settings, the picture as it forms. Knows no tensor."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from genlab.catalogue import Entry
from genlab.requests import SCHEDULERS, Request, StableDiffusionRequest, ask
from genlab.ui.lab import Lab
from genlab.ui.obedience import world_of
from genlab.ui.panel import (
    PRIVATE,
    buttons,
    chooser,
    missing,
    numbered,
    panel,
    seed_and_count,
    titles,
    wire,
)

INTRO = (
    "Noise becomes a picture in steps, each nudged towards the prompt. Try **guidance scale** 0, "
    "4 and 15 on one seed: what gets better, and what is lost?"
)
EXAMPLES = {
    "toybox": (
        "a red 7 on a blue background",
        "a green sneaker on a white background",
        "a yellow 3 above a purple bag on a black background",
        "a small orange dress on a gray background",
    ),
    "": ("an astronaut riding a horse, oil painting", "a lighthouse in a storm, photograph"),
}
SCHEDULER_NAMES = {
    "dpmpp-2m": "DPM++ 2M",
    "ddim": "DDIM",
    "euler": "Euler",
    "euler-ancestral": "Euler ancestral",
    "pndm": "PNDM",
    "ddpm": "DDPM",
}


def build(lab: Lab) -> None:
    """Add the tab's content to the page."""
    entries = lab.catalogue.of_family("stable_diffusion")
    if not entries:
        missing("Stable Diffusion", "stable-diffusion-toybox")
        return
    gr.Markdown(INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["bench", "three"]):
        with gr.Column(min_width=300, elem_classes=["controls", "asked"]):
            checkpoint = chooser(
                "sd-checkpoint",
                "Checkpoint",
                "The trained model that draws.",
                titles(entries),
                entries[0].name,
            )
            prompt, negative, words = _prompts(prompts(entries[0]))
            press = buttons("sd")
        with gr.Column(min_width=300, elem_classes=["controls", "settings"]):
            steps, guidance, scheduler = _sampler()
            seed, count = seed_and_count("sd", 16, 4)
            every, _ = numbered(
                "sd-preview-every",
                "Preview every",
                "Steps between two previews; 0 shows only the end.",
                0, 20, 3,
            )  # fmt: skip
        with gr.Column(min_width=300, elem_classes=["shown"]):
            shown = panel("sd")

    names = ["checkpoint", "prompt", "negative_prompt", "num_inference_steps", "guidance_scale"]
    names += ["scheduler", "seed", "count", "preview_every"]
    inputs = [checkpoint, prompt, negative, steps, guidance, scheduler, seed, count, every]

    def requests(*values: Any) -> list[Request]:
        return [ask(StableDiffusionRequest, **dict(zip(names, values, strict=True)))]

    wire(
        lab,
        "sd",
        press,
        [shown],
        inputs,
        requests,
        also=[prompt.submit, negative.submit],
        captions=_read,
    )

    def told(checkpoint: Any, *texts: Any) -> str:
        return unknown(lab.catalogue.entry(str(checkpoint)), *map(str, texts))

    gr.on(
        [prompt.change, negative.change, checkpoint.change],
        told, [checkpoint, prompt, negative], words,
        queue=False, preprocess=False, trigger_mode="always_last", **PRIVATE,
    )  # fmt: skip


def _read(figures: dict[str, Any]) -> Sequence[str]:
    """What the judge reads in each picture."""
    return [escape(text) for text in figures.get("read", ())]


def prompts(entry: Entry) -> Sequence[str]:
    """Example prompts for a checkpoint's data set."""
    return EXAMPLES.get(entry.dataset, EXAMPLES[""])


def unknown(entry: Entry, *texts: str) -> str:
    """A sentence on words that the checkpoint never learnt, as HTML; "" if it knows them all."""
    world = world_of(entry)
    if world is None:
        return ""
    strange = list(dict.fromkeys(w for text in texts for w in world.unknown_words(text[:1000])))
    if not strange:
        return ""
    listed = ", ".join(f"“{escape(word)}”" for word in strange[:6])
    more = " and more" if len(strange) > 6 else ""
    known = "colours, digits, garments and places such as “left of” or “above”"
    sentence = f"{escape(entry.title)} does not know {listed}{more}; it knows {known}."
    return f'<p class="note">{sentence}</p>'


def _prompts(examples: Sequence[str]) -> tuple[gr.Textbox, gr.Textbox, gr.HTML]:
    prompt = gr.Textbox(
        examples[0], label="Prompt", lines=1, max_lines=4, elem_id="sd-prompt",
        info="What the picture should show. Enter generates.", submit_btn=False,
    )  # fmt: skip
    words = gr.HTML(elem_id="sd-unknown-words", elem_classes=["flush"])
    with gr.Row(elem_classes=["chips"], elem_id="sd-examples"):
        for text in examples:
            chip = gr.Button(text, size="sm", min_width=60, elem_classes=["chip"])
            chip.click(None, None, prompt, js=f"() => {text!r}", show_progress="hidden")
    negative = gr.Textbox(
        label="Negative prompt", lines=1, elem_id="sd-negative-prompt",
        info="What guidance should lead away from.",
    )  # fmt: skip
    return prompt, negative, words


def _sampler() -> tuple[gr.Number, gr.Number, gr.Dropdown]:
    steps, _ = numbered(
        "sd-steps",
        "num_inference_steps",
        "How many denoising steps; more is slower, and better only up to a point.",
        1, 100, 25,
    )  # fmt: skip
    guidance, _ = numbered(
        "sd-guidance",
        "guidance_scale",
        "How hard each step is pushed to the prompt; 1 and less is no guidance.",
        0, 20, 4, 0.5,
    )  # fmt: skip
    scheduler = chooser(
        "sd-scheduler",
        "Scheduler",
        "The rule that turns predicted noise into the next, cleaner picture.",
        [(SCHEDULER_NAMES.get(name, name), name) for name in SCHEDULERS],
        "dpmpp-2m",
    )
    return steps, guidance, scheduler
