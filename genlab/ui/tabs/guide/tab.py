"""The lab guide: a list of questions; each is predicted, run in its tab, and revealed.

All of it is in the page from the beginning: which question is shown is the browser's own business,
so two hundred readers cost the server nothing but the pictures.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from genlab.ui.context import AppContext
from genlab.ui.tabs.guide.card_figures import with_figures
from genlab.ui.tabs.guide.layout import asking, code, contents, heading, onward
from genlab.ui.tabs.guide.pictures import step_pictures, waiting
from genlab.ui.tabs.guide.steps import STEPS, GuideStep
from genlab.ui.tabs.guide.words import GuideWords, guide_words

SCRIPT = Path(__file__).with_name("guide.js").read_text(encoding="utf-8")
LATEX: list[dict[str, str | bool]] = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "$", "right": "$", "display": False},
]


def build(context: AppContext) -> None:
    """Add the tab's content to the page."""
    words = guide_words()
    with gr.Row(elem_id="guide"):
        with gr.Column(min_width=220, scale=1, elem_classes=["guide-list"]):
            gr.HTML(
                contents(words, STEPS), elem_id="guide-list", elem_classes=["flush"],
                js_on_load=SCRIPT,
            )  # fmt: skip
        with gr.Column(min_width=300, scale=4):
            places = []
            for k, step in enumerate(STEPS):
                with gr.Column(elem_id=f"guide-{step.key}", elem_classes=["guide-step"]):
                    places.append(_step(context, words, k, step))
    step_pictures(context, STEPS, words, places)


def _step(context: AppContext, words: GuideWords, k: int, step: GuideStep) -> gr.HTML:
    """One question's elements; the one for its pictures."""
    own = words.steps[step.key]
    gr.HTML(heading(words, own, k, len(STEPS)), elem_classes=["flush"])
    pictures = gr.HTML(
        waiting(step, words), elem_id=f"guide-{step.key}-pictures", elem_classes=["flush"]
    )
    gr.HTML(asking(words, own, step), elem_id=f"guide-{step.key}-asking", elem_classes=["flush"])
    symbols = "\n".join(f"- ${symbol}$: {meaning}" for symbol, meaning in own.symbols)
    gr.Markdown(
        f"{with_figures(own.answer, context.registry)}\n\n**{words.page['symbols']}**\n\n{symbols}",
        latex_delimiters=LATEX,
        elem_id=f"guide-{step.key}-answer",
        elem_classes=["guide-answer"],
    )
    gr.HTML(
        code(words, own, step), elem_id=f"guide-{step.key}-code",
        elem_classes=["flush", "guide-answer"],
    )  # fmt: skip
    gr.HTML(onward(words, STEPS, k), elem_classes=["flush"])
    return pictures
