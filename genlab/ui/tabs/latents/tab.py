"""The Latents tab: ways, single dimensions, digits of one's own, noise. Knows no tensor."""

from __future__ import annotations

import gradio as gr

from genlab.ui.components.panel import missing
from genlab.ui.context import AppContext
from genlab.ui.tabs.latents import between, dimensions, draw, noise, walk


def build(context: AppContext) -> None:
    """Add the tab's content to the page."""
    if not any(context.registry.of_family(family) for family in walk.KINDS):
        missing("VAE, GAN or diffusion", "vae-mnist-20d")
        return
    with gr.Tabs(elem_classes=["modes"], overflow_behavior="wrap"):
        with gr.Tab("Walk", id="latents-walk"):
            walk.build(context)
        with gr.Tab("Between pictures", id="latents-between"):
            between.build(context)
        with gr.Tab("Single dimensions", id="latents-dimensions"):
            dimensions.build(context)
        with gr.Tab("Draw a digit", id="latents-draw"):
            draw.build(context)
        with gr.Tab("Noise", id="latents-noise"):
            noise.build(context)
