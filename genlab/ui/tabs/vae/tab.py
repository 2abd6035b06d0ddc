"""The VAE tab: sample the prior, reconstruct test digits, look at the codes. Knows no tensor."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from genlab.formats.metadata import ModelMetadata
from genlab.ui.components.bring import bring_your_own
from genlab.ui.components.panel import missing
from genlab.ui.context import AppContext
from genlab.ui.tabs.vae import codes, reconstruct, sample
from genlab.ui.tabs.vae.kinds import flat, reconstructs


def build(context: AppContext) -> None:
    """Add the tab's content to the page."""
    entries = preferred(context.registry.of_family("vae"))
    if not entries:
        missing("VAE", "vae-mnist-20d")
        return
    with gr.Tabs(elem_classes=["modes"], overflow_behavior="wrap"):
        with gr.Tab("Sample the prior", id="vae-sample"):
            sample.build(context, entries)
        with gr.Tab("Reconstruct", id="vae-reconstruct"):
            reconstruct.build(context, [entry for entry in entries if reconstructs(entry)])
        with gr.Tab("2-D codes", id="vae-codes"):
            coded = [entry for entry in entries if flat(entry) and reconstructs(entry)]
            codes.build(context, coded)
    bring_your_own(context, "vae")


def preferred(entries: Sequence[ModelMetadata]) -> list[ModelMetadata]:
    """The checkpoints with the 20-D ones first: two numbers are not enough for a digit."""
    return sorted(entries, key=lambda entry: (flat(entry), entry.dataset != "mnist"))
