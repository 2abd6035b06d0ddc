"""The Compare tab: every family beside the others, from one seed. Knows no tensor."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator
from html import escape
from typing import Any

import gradio as gr

from genlab.requests import UserError, ask
from genlab.serving.session_runs import Run
from genlab.ui.components.metric_strip import bar, compact
from genlab.ui.components.panel import PRIVATE, buttons, chooser, missing, seed_and_count, stoppable
from genlab.ui.components.pictures import blank, grid
from genlab.ui.context import Lab
from genlab.ui.live_run import attended, complaint
from genlab.ui.tabs.compare.columns import DIGITS, Board, Card, Column, Wish, columns, compare
from genlab.ui.tabs.compare.overview import overview

INTRO = (
    "One seed, every family. **Fast, sharp, diverse**: who has all three? Who can be told what to "
    "draw, and what does that cost?"
)
ANY = "any"
UNKNOWN = {
    "toybox": {
        "fid": "Its pictures are 64x64 and coloured, the real ones here are not",
        "sharpness_percent": "Its pictures are 64x64: edges compare at one size only",
    },
    "real": {"seconds": "Nobody drew them"},
}
"""Why a column has a dash, by column and figure; said when the dash is pointed at."""


def build(lab: Lab) -> None:
    """Add the tab's content to the page."""
    shown = columns(lab)
    if not shown:
        missing("MNIST", "vae-mnist-20d")
        return
    gr.Markdown(INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["compare-bar"]):
        seed, count = seed_and_count("compare", 16, 9)
        classes = [(name, name) for name in (ANY, *DIGITS)]
        label = chooser("compare-class", "Class", "Of those that can be told.", classes, ANY)
        with gr.Column(min_width=240):
            press = buttons("compare")
    chosen = gr.CheckboxGroup(
        [(column.title, column.key) for column in shown],
        value=[column.key for column in shown],
        label="Columns",
        show_label=False,
        container=False,
        elem_id="compare-columns",
    )
    with gr.Row(elem_classes=["cards"]):
        cards = [
            gr.HTML(
                card(column, Card(), Wish()),
                elem_id=f"compare-{column.key}",
                elem_classes=["flush", "card"],
            )
            for column in shown
        ]
    table = gr.HTML(overview(lab, shown, {}), elem_id="compare-table", elem_classes=["flush"])

    async def generate(
        request: gr.Request, seed: Any, label: Any, count: Any, keys: Any
    ) -> AsyncIterator[tuple[Any, ...]]:
        wish = Wish()
        times: dict[str, float] = {}  # seconds a picture

        def act(run: Run) -> AsyncGenerator[Board, None]:
            nonlocal wish
            wish = ask(
                Wish,
                seed="" if seed is None else seed,
                count="" if count is None else count,
                label=None if label == ANY else label,
            )
            picked = [column for column in shown if column.key in (keys or ())]
            if not picked:
                raise UserError("Tick at least one column to draw.")
            return compare(lab, run, picked, wish)

        async for frame in attended(lab, str(request.session_hash), "compare", act):
            news = frame.cards if isinstance(frame, Board) else {}
            timed = {
                k: c.figures["seconds"] / wish.count
                for k, c in news.items()
                if "seconds" in c.figures
            }
            times |= timed
            yield (
                frame.status,
                gr.Button(interactive=frame.running),
                overview(lab, shown, times) if timed else gr.skip(),
                *(
                    card(column, news[column.key], wish) if column.key in news else gr.skip()
                    for column in shown
                ),
            )

    press.generate.click(
        generate,
        [seed, label, count, chosen],
        [press.status, press.stop, table, *cards],
        preprocess=False,
        concurrency_limit=None,
        trigger_mode="multiple",  # the desk lets the newest win
        **PRIVATE,
    )
    stoppable(lab, "compare", press.stop)

    def show(keys: Any) -> list[Any]:
        return [gr.HTML(visible=column.key in (keys or ())) for column in shown]

    chosen.change(show, chosen, cards, queue=False, preprocess=False, **PRIVATE)


def card(column: Column, now: Card, wish: Wish) -> str:
    """What a column shows, as HTML; of the same size whatever it shows, but for a problem."""
    across = math.ceil(math.sqrt(wish.count))
    shown = [compact(now.figures, UNKNOWN.get(column.key))]
    foot = escape(column.remark(wish.label))
    words = now.news or "Nothing drawn yet"
    if now.problem:
        shown = [complaint(now.problem)]
    if now.done is not None:
        foot, words = escape(now.news) + bar(now.done), ""
    if now.pictures is not None:
        shown.insert(0, f"<div>{grid(now.pictures, columns=across)}</div>")
    elif not now.problem:
        shown.insert(0, blank(across, math.ceil(wish.count / across), escape(words)))
    return (
        f"<article><h3>{escape(column.title)}</h3><p>{escape(column.look)}</p>"
        f"<div>{''.join(shown)}</div><footer>{foot}</footer></article>"
    )
