"""What all modes of the Stable Diffusion tab share: model, prompt and settings. Knows no tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from genlab.diffusion.schedulers import SCHEDULERS, scheduler_names
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.formats.metadata import ModelMetadata
from genlab.requests import parse_request
from genlab.ui.components.panel import PRIVATE, chooser, numbered, seed_with_dice, titles
from genlab.ui.context import AppContext
from genlab.ui.tabs.stable_diffusion.words import help_with_words

EXAMPLES = {
    "toybox": (
        "a red 7 on a blue background",
        "a green sneaker on a white background",
        "a yellow 3 above a purple bag on a black background",
        "a small orange dress on a gray background",
    ),
    "": ("an astronaut riding a horse, oil painting", "a lighthouse in a storm, photograph"),
}
GUIDANCE_INFO = (
    "How hard each step is pushed to the prompt; at 1 there is no guidance, the prompt is still "
    "told."
)
SCHEDULER_INFO = "The rule that turns predicted noise into the next, cleaner picture."
NAMES = (
    "checkpoint", "prompt", "negative_prompt", "num_inference_steps", "guidance_scale",
    "scheduler", "seed",
)  # fmt: skip
"""The settings that the controls hold, in the order of ``Controls.inputs``."""
ADDED = ("lora", "lora_scale")
"""Those after them, where there are LoRAs."""


@dataclass(frozen=True)
class Controls:
    """The shared components; a slider stands under each number that has one."""

    checkpoint: gr.Dropdown
    prompt: gr.Textbox
    negative: gr.Textbox
    steps: gr.Number
    steps_slider: gr.Slider
    guidance: gr.Number
    guidance_slider: gr.Slider
    scheduler: gr.Dropdown
    seed: gr.Number
    loras: tuple[gr.components.Component, ...] = ()  # as ADDED, or none

    @property
    def inputs(self) -> list[gr.components.Component]:
        """One component a name of NAMES, then of ADDED if there are LoRAs."""
        return [
            self.checkpoint, self.prompt, self.negative, self.steps, self.guidance,
            self.scheduler, self.seed, *self.loras,
        ]  # fmt: skip

    @property
    def limiting(self) -> list[gr.components.Component]:
        """Those on which it depends whether a picture can be drawn at all."""
        return [self.checkpoint, self.steps, self.scheduler]

    @property
    def outputs(self) -> list[gr.components.Component]:
        """The components that ``restored`` sets."""
        return [*self.inputs[: len(NAMES)], self.steps_slider, self.guidance_slider]


def request_of(values: Sequence[Any], **changes: Any) -> StableDiffusionRequest:
    """The request of the controls' values, in the order of NAMES; raises UserError."""
    settings = dict(zip((*NAMES, *ADDED)[: len(values)], values, strict=True)) | changes
    # An empty box sends None, which would read oddly in a sentence.
    filled = {name: "" if value is None else value for name, value in settings.items()}
    return parse_request(StableDiffusionRequest, **filled)


def restored(settings: Mapping[str, Any]) -> list[Any]:
    """Updates of ``Controls.outputs`` to these settings; what is not among them stays."""
    sliders = ("num_inference_steps", "guidance_scale")
    return [
        gr.update(value=settings[name]) if name in settings else gr.skip()
        for name in (*NAMES, *sliders)
    ]


def prompt_controls(
    context: AppContext, entries: Sequence[ModelMetadata]
) -> tuple[gr.Dropdown, gr.Textbox, gr.HTML]:
    """Model, prompt with examples, and the place where unknown words are told."""
    checkpoint = chooser(
        "sd-checkpoint", "Checkpoint", "The trained model that draws.",
        titles(entries), entries[0].name,
    )  # fmt: skip
    first = kind(entries[0])
    prompt = gr.Textbox(
        EXAMPLES[first][0], label="Prompt", lines=1, max_lines=4, elem_id="sd-prompt",
        info="What the picture should show. Enter generates.", submit_btn=False,
    )  # fmt: skip
    words = gr.HTML(elem_id="sd-unknown-words", elem_classes=["flush"])
    with gr.Column(elem_id="sd-examples"):
        chips = {data: _chips(texts, prompt, data == first) for data, texts in EXAMPLES.items()}

    def fitting_chips(checkpoint: Any) -> list[Any]:
        chosen = kind(context.registry.entry(str(checkpoint)))
        return [gr.Row(visible=data == chosen) for data in chips]

    checkpoint.change(
        fitting_chips, checkpoint, list(chips.values()), queue=False, preprocess=False, **PRIVATE
    )
    return checkpoint, prompt, words


def negative_prompt() -> gr.Textbox:
    """What guidance leads away from."""
    return gr.Textbox(
        label="Negative prompt", lines=1, elem_id="sd-negative-prompt",
        info="What guidance should lead away from.",
    )  # fmt: skip


def tell_unknown_words(context: AppContext, controls: Controls, words: gr.HTML) -> None:
    """Say at once which words of both prompts the model does not know."""

    def word_help(checkpoint: Any, *texts: Any) -> str:
        return help_with_words(context.registry.entry(str(checkpoint)), *map(str, texts))

    parts = [controls.checkpoint, controls.prompt, controls.negative]
    gr.on(
        [part.change for part in parts], word_help, parts, words,
        queue=False, preprocess=False, trigger_mode="always_last", **PRIVATE,
    )  # fmt: skip


def kind(entry: ModelMetadata) -> str:
    """Which of EXAMPLES a model can draw."""
    return entry.dataset if entry.dataset in EXAMPLES else ""


def _chips(texts: Sequence[str], prompt: gr.Textbox, visible: bool) -> gr.Row:
    """Example prompts to be pressed."""
    with gr.Row(elem_classes=["chips"], visible=visible) as row:
        for text in texts:
            chip = gr.Button(text, size="sm", min_width=60, elem_classes=["chip"])
            chip.click(None, None, prompt, js=f"() => {text!r}", show_progress="hidden")
    return row


def strength_controls() -> tuple[gr.Number, gr.Slider, gr.Number, gr.Slider]:
    """What every mode is about, each with its slider: steps, and guidance scale."""
    steps, steps_slider = numbered(
        "sd-steps",
        "num_inference_steps",
        "How many denoising steps; more is slower, and better only up to a point.",
        1, 100, 25,
    )  # fmt: skip
    guidance, guidance_slider = numbered(
        "sd-guidance",
        "guidance_scale",
        GUIDANCE_INFO,
        1, 20, 4, 0.5,
    )  # fmt: skip
    return steps, steps_slider, guidance, guidance_slider


def scheduler_and_seed() -> tuple[gr.Dropdown, gr.Number]:
    """How the steps are taken, and from which noise."""
    scheduler = chooser(
        "sd-scheduler",
        "Scheduler",
        SCHEDULER_INFO,
        [(SCHEDULERS[name].label, name) for name in scheduler_names()],
        "dpmpp-2m",
    )
    return scheduler, seed_with_dice("sd")
