"""The Compare tab: every family beside the others, from one seed. Knows no tensor."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from html import escape
from typing import Any

import gradio as gr

from genlab.families.description import ColumnSettings, CompareColumn
from genlab.ui.components.bring import bring_your_own
from genlab.ui.components.metric_strip import bar, compact
from genlab.ui.components.panel import PRIVATE, buttons, chooser, missing, seed_and_count
from genlab.ui.components.pictures import blank, grid
from genlab.ui.components.progress import error_line
from genlab.ui.components.run_button import on_press
from genlab.ui.context import AppContext
from genlab.ui.live_run import live_run
from genlab.ui.tabs.compare.another import YOURS, another_model, column_of
from genlab.ui.tabs.compare.columns import Card, Comparison, columns
from genlab.ui.tabs.compare.overview import overview

INTRO = (
    "One seed, every family. **Fast, sharp, diverse**: who has all three? Who can be told what to "
    "draw, and what does that cost?"
)
SLOT = "compare"
ANY = "any"
DIGITS = tuple(map(str, range(10)))


def build(context: AppContext) -> None:
    """Add the tab's content to the page."""
    shown = columns(context.registry)
    if not shown:
        missing("MNIST", "vae-mnist-20d")
        return
    gr.Markdown(INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["compare-bar"]):
        seed, count = seed_and_count(SLOT, 16, 9)
        classes = [(name, name) for name in (ANY, *DIGITS)]
        label = chooser(f"{SLOT}-class", "Class", "Of those that can be told.", classes, ANY)
        with gr.Column(min_width=240):
            press = buttons(SLOT)
    another = another_model(context.registry, shown)
    chosen = gr.CheckboxGroup(
        [(column.title, column.key) for column in shown],
        value=[column.key for column in shown],
        label="Columns",
        show_label=False,
        container=False,
        elem_id=f"{SLOT}-columns",
    )
    with gr.Row(elem_classes=["cards"]):
        cards = [
            gr.HTML(
                card(column, Card(), ColumnSettings()),
                elem_id=f"{SLOT}-{column.key}",
                elem_classes=["flush", "card"],
            )
            for column in shown
        ]
        yours = gr.HTML(
            card(YOURS, Card(), ColumnSettings()), visible=False,
            elem_id=f"{SLOT}-{YOURS.key}", elem_classes=["flush", "card"],
        )  # fmt: skip
    table = gr.HTML(
        overview(context.registry, shown, {}), elem_id=f"{SLOT}-table", elem_classes=["flush"]
    )

    async def generate(
        request: gr.Request, seed: Any, label: Any, count: Any, keys: Any, more: Any
    ) -> AsyncIterator[tuple[Any, ...]]:
        picked = [column for column in shown if column.key in (keys or ())]
        extra = column_of(context.registry, str(more or ""))
        listed = shown if extra is None else [*shown, extra]
        picked += listed[len(shown) :]
        compared = [*shown, extra or YOURS]  # in the order of the cards
        comparison = Comparison(context.registry, picked)
        wanted = {
            "seed": "" if seed is None else seed,
            "count": "" if count is None else count,
            "label": None if label == ANY else label,
        }
        async for frame in live_run(
            context,
            str(request.session_hash),
            SLOT,
            lambda: comparison.cells(**wanted),
            in_turn=True,
        ):
            news = comparison.news(frame)
            timed = any("seconds" in card.figures for card in news.values())
            yield (
                comparison.status(frame),
                gr.update(interactive=frame.running),
                overview(context.registry, listed, comparison.times) if timed else gr.skip(),
                *updates(compared, news, comparison.settings),
            )

    def updates(
        compared: Sequence[CompareColumn], news: Mapping[str, Card], settings: ColumnSettings
    ) -> list[Any]:
        return [
            card(column, news[column.key], settings) if column.key in news else gr.skip()
            for column in compared
        ]

    inputs = [seed, label, count, chosen, another]
    on_press(context, SLOT, press, generate, inputs, [table, *cards, yours])

    def show(keys: Any) -> list[Any]:
        return [gr.HTML(visible=column.key in (keys or ())) for column in shown]

    chosen.change(show, chosen, cards, queue=False, preprocess=False, **PRIVATE)

    def add(name: Any) -> Any:
        column = column_of(context.registry, str(name or ""))
        return gr.HTML(card(column or YOURS, Card(), ColumnSettings()), visible=column is not None)

    another.change(add, another, yours, queue=False, preprocess=False, **PRIVATE)
    bring_your_own(context, SLOT)


def card(column: CompareColumn, now: Card, settings: ColumnSettings) -> str:
    """What a column shows, as HTML; of the same size whatever it shows, but for a problem."""
    across = math.ceil(math.sqrt(settings.count))
    shown = [compact(now.figures, column.unknown)]
    foot = escape(column.remark(settings.label))
    words = now.news or "Nothing drawn yet"
    if now.problem:
        shown = [error_line(now.problem)]
    if now.done is not None:
        foot, words = escape(now.news) + bar(now.done), ""
    if now.pictures is not None:
        alts = [f"{column.title}, picture {k + 1}" for k in range(len(now.pictures))]
        shown.insert(0, f"<div>{grid(now.pictures, columns=across, alts=alts)}</div>")
    elif not now.problem:
        shown.insert(0, blank(across, math.ceil(settings.count / across), escape(words)))
    return (
        f"<article><h2>{escape(column.title)}</h2><p>{escape(column.look)}</p>"
        f"<div>{''.join(shown)}</div><footer>{foot}</footer></article>"
    )
