"""How the page looks: one calm theme for light, dark, projector and phone. Nothing from the net."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

STYLES = (
    "style.css",
    "components/bring.css",
    "tabs/guide/guide.css",
    "state/share.css",
    "state/present.css",
    "teacher/lesson.css",
    "tabs/vae/plane.css",
    "tabs/pad.css",
    "tabs/latents/latents.css",
    "tabs/stable_diffusion/modes.css",
)
CSS = "".join((Path(__file__).parent / name).read_text(encoding="utf-8") for name in STYLES)


def theme() -> gr.themes.Base:
    """Gradio's base theme in slate and indigo, in the fonts that the visitor's machine has."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.indigo,
        neutral_hue=gr.themes.colors.slate,
        text_size=gr.themes.sizes.text_lg,
        radius_size=gr.themes.sizes.radius_md,
        font=SANS,
        font_mono=MONO,
    ).set(
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_700",
        button_primary_text_color="white",
        block_label_text_weight="600",
        block_title_text_weight="600",
        slider_color="*primary_500",
        color_accent="*primary_600",
        # Gradio's own grey is too pale for a projector.
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_100",
        block_padding="*spacing_md *spacing_lg",
        layout_gap="*spacing_lg",
        form_gap_width="0px",
    )
