"""Which LoRA is added to the model, where there are any. Knows no tensor."""

from __future__ import annotations

import gradio as gr

from genlab.ui.components.panel import chooser, titles
from genlab.ui.context import AppContext


def lora_controls(context: AppContext) -> tuple[gr.components.Component, ...]:
    """A chooser and a strength, in the order of ``controls.ADDED``; none where no LoRA is."""
    loras = list(context.registry.loras.values())
    if not loras:
        return ()
    lora = chooser(
        "sd-lora", "LoRA", "A small addition to the model's weights.",
        [("none", ""), *titles(loras)], "",
    )  # fmt: skip
    scale = gr.Number(
        1, label="lora_scale", info="How strongly it is added, 0 to 2.", step=0.1,
        elem_id="sd-lora-scale",
    )  # fmt: skip
    return lora, scale
