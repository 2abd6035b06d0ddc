"""Mode Sample the prior: decode random codes, with and without the KL term. Knows no tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from genlab.families.vae.request import VAERequest
from genlab.formats.metadata import ModelMetadata
from genlab.requests import Request, parse_request
from genlab.ui.components.class_choice import class_choice, label_for
from genlab.ui.components.panel import (
    buttons,
    numbered,
    pair,
    panel,
    seed_and_count,
    shows_second,
    wire,
)
from genlab.ui.context import AppContext
from genlab.ui.model_choices import lists

SLOT = "vae"
INTRO = (
    "A VAE decodes a random **z ~ N(0, I)**. Look at the edges: why are they soft? And why is it "
    "worse without the KL term, from the same z?"
)


def build(context: AppContext, entries: Sequence[ModelMetadata]) -> None:
    """Add the mode's content to the tab."""
    gr.Markdown(INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["bench"]):
        with gr.Column(scale=1, min_width=280, elem_classes=["controls"]):
            first, beside = pair(SLOT, entries)
            lists([first, beside], ["vae"])
            label = class_choice(context.registry, SLOT, [first, beside])
            temperature, pull = numbered(
                f"{SLOT}-temperature",
                "Temperature",
                "Multiplies z: 0 is the average picture, above 1 leaves the known region.",
                0, 3, 1, 0.05,
            )  # fmt: skip
            seed, count = seed_and_count(SLOT, 64, 16)
            press = buttons(SLOT)
        with gr.Column(scale=3, min_width=300), gr.Row(elem_classes=["panels"]):
            panels = [panel(SLOT), panel(f"{SLOT}-beside", bool(beside.value))]

    def requests(
        checkpoint: Any, other: Any, temperature: Any, seed: Any, count: Any, label: Any
    ) -> list[Request]:
        values: dict[str, Any] = {
            "temperature": temperature,
            "seed": seed,
            "count": count,
            "judge": True,
        }
        names = [checkpoint, other] if other else [checkpoint]
        return [
            parse_request(
                VAERequest, checkpoint=name, **values, **label_for(context.registry, name, label)
            )
            for name in names
        ]

    shows_second(beside, panels[1].column)
    inputs = [first, beside, temperature, seed, count, label]
    wire(context, SLOT, press, panels, inputs, requests, also=[pull.release, temperature.submit])
