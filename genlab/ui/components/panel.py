"""The pieces that tabs share: choosers, seed and dice, Generate and Stop, galleries, their events.

Knows no model family and no tensor. Inputs reach handlers as the browser or a client sent them
(``preprocess=False``), so that ``genlab.requests.parse_request`` is the only place that judges
values and a wrong one gets its sentence, not Gradio's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from genlab.formats.metadata import ModelMetadata
from genlab.models.families import FAMILIES
from genlab.requests import MAX_SEED, Request, SampleRequest
from genlab.ui.cells import Cell, CellView
from genlab.ui.components.alt_text import words_of
from genlab.ui.components.metric_strip import strip
from genlab.ui.components.numbers import as_typed
from genlab.ui.components.pictures import blank, file_names, grid
from genlab.ui.context import AppContext
from genlab.ui.live_run import live_run
from genlab.ui.state.kept import kept

FIRST_SEED = 42

PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
"""For events of the page alone; what a script can call is in ``genlab.ui.api``."""

Captions = Callable[[dict[str, Any]], Sequence[str]]


@dataclass(frozen=True)
class Panel:
    """A heading, a gallery and its metric strip: where the pictures of one request go."""

    column: gr.Column
    title: gr.HTML
    gallery: gr.HTML
    strip: gr.HTML

    @property
    def outputs(self) -> list[gr.components.Component]:
        return [self.title, self.gallery, self.strip]


@dataclass(frozen=True)
class Buttons:
    """Generate, Stop and the status line under them."""

    generate: gr.Button
    stop: gr.Button
    status: gr.HTML


def panel(name: str, visible: bool = True) -> Panel:
    """An empty panel; elem_ids ``<name>-gallery`` and ``<name>-strip``."""
    with gr.Column(min_width=300, visible=visible, elem_classes=["panel"]) as column:
        return Panel(
            column,
            gr.HTML(heading(), elem_classes=["flush"]),
            gr.HTML(blank(), elem_id=f"{name}-gallery", elem_classes=["flush"]),
            gr.HTML(elem_id=f"{name}-strip", elem_classes=["figures", "flush"]),
        )


def buttons(name: str, label: str = "Generate", looks: Sequence[str] = ()) -> Buttons:
    """Elem_ids ``<name>-generate``, ``<name>-stop`` and ``<name>-status``; classes of the first."""
    with gr.Row(elem_classes=["go"]):
        generate = gr.Button(
            label, variant="primary", elem_id=f"{name}-generate", elem_classes=list(looks),
            min_width=120, scale=2,
        )  # fmt: skip
        stop = gr.Button(
            "Stop", variant="stop", interactive=False, elem_id=f"{name}-stop", min_width=70, scale=1
        )
    status = gr.HTML(elem_id=f"{name}-status", elem_classes=["status", "flush"])
    return Buttons(generate, stop, status)


def chooser(
    name: str, label: str, info: str, choices: Sequence[tuple[str, str]], value: str
) -> gr.Dropdown:
    """A dropdown of (words, value); elem_id ``name``."""
    return gr.Dropdown(
        list(choices), value=value, label=label, info=info, filterable=False, elem_id=name
    )


def titles(entries: Sequence[ModelMetadata]) -> list[tuple[str, str]]:
    """Checkpoints for a chooser: what the card calls them, and their names."""
    return [(entry.title, entry.name) for entry in entries]


def pair(
    name: str, entries: Sequence[ModelMetadata], info: str = "Another one, from the same z."
) -> tuple[gr.Dropdown, gr.Dropdown]:
    """Two choosers, the second for what is shown beside the first; it follows the first's twin."""
    mine = entries[0].name
    first = chooser(
        f"{name}-checkpoint", "Checkpoint", "The trained model that draws.", titles(entries), mine
    )
    others = [("nothing", ""), *titles(entries)]
    beside = chooser(f"{name}-beside", "Beside it", info, others, twin(entries, mine))
    first.input(
        lambda chosen: twin(entries, chosen),
        first,
        beside,
        queue=False,
        preprocess=False,
        **PRIVATE,
    )
    return first, beside


def shows_second(beside: gr.Dropdown, column: gr.Column) -> None:
    """Show the second column while something is chosen for it."""
    beside.change(
        lambda other: gr.Column(visible=bool(other)),
        beside, column, queue=False, preprocess=False, **PRIVATE,
    )  # fmt: skip


def twin(entries: Sequence[ModelMetadata], name: str) -> str:
    """The checkpoint to compare with: same data set, one name begins with the other; "" if none."""
    mine = next((entry for entry in entries if entry.name == name), None)
    for other in entries:
        if mine is None or other is mine or other.dataset != mine.dataset:
            continue
        if other.name.startswith(f"{name}-") or name.startswith(f"{other.name}-"):
            return other.name
    return ""


def seed_and_count(name: str, most: int, count: int) -> tuple[gr.Number, gr.Number]:
    """The seed with its dice, and how many pictures."""
    seed = seed_with_dice(name)
    how_many, _ = numbered(f"{name}-count", "Count", "How many pictures.", 1, most, count)
    return seed, how_many


def seed_with_dice(name: str) -> gr.Number:
    """The seed, and a button that throws another one."""
    with gr.Row(elem_classes=["seed"]):
        seed = gr.Number(
            FIRST_SEED,
            label="Seed",
            info="Same seed, same pictures.",
            precision=0,
            elem_id=f"{name}-seed",
            min_width=140,
            scale=4,
        )
        dice = gr.Button(
            "New random seed", elem_id=f"{name}-dice", elem_classes=["dice"], min_width=48, scale=0
        )
    dice.click(
        None, None, seed, js=f"() => Math.floor(Math.random() * {MAX_SEED})", show_progress="hidden"
    )
    return seed


def numbered(
    name: str, label: str, info: str, low: float, high: float, value: float, step: float = 1
) -> tuple[gr.Number, gr.Slider]:
    """A number with a slider under it; the number is the value.

    Gradio's own slider moves a number that is out of range into it without a word. Here it stays
    as typed and gets its sentence.
    """
    with gr.Column(elem_id=name, elem_classes=["numbered"], min_width=0):
        number = gr.Number(value, label=label, info=info, step=step)
        slider = gr.Slider(
            low,
            high,
            value=value,
            step=step,
            label=label,
            show_label=False,
            container=False,
            buttons=[],
            elem_classes=["bare"],
        )
    follow: dict[str, Any] = {"js": "value => value", "show_progress": "hidden"}
    slider.input(None, slider, number, **follow)
    number.input(None, number, slider, **follow)
    return number, slider


def wire(
    context: AppContext,
    slot: str,
    press: Buttons,
    panels: Sequence[Panel],
    inputs: Sequence[gr.components.Component],
    build: Callable[..., Sequence[Request]],
    *,
    also: Sequence[Callable[..., Any]] = (),
    captions: Captions | None = None,
) -> None:
    """Let Generate (and the events ``also``) run what ``build(*inputs)`` makes, and Stop end it.

    Args:
        slot: where on the page; a visitor's newer run there replaces the older.
        panels: one for each request that ``build`` may return, in order.
        captions: a result's figures to one caption a picture; none where it has nothing to say.
    """
    gr.on(
        [press.generate.click, *also],
        kept(context, slot, drawing(context, slot, build, len(panels), captions)),
        list(inputs),
        drawn_on(press, panels),
        preprocess=False,
        js=as_typed(inputs),
        concurrency_limit=None,
        trigger_mode="multiple",  # the newest run of a slot wins
        **PRIVATE,
    )
    stoppable(context, slot, press.stop)


def drawn_on(press: Buttons, panels: Sequence[Panel]) -> list[gr.components.Component]:
    """The outputs of a ``drawing``."""
    return [press.status, press.stop, *(o for panel in panels for o in panel.outputs)]


def drawing(
    context: AppContext,
    slot: str,
    build: Callable[..., Sequence[Request]],
    panels: int = 1,
    captions: Captions | None = None,
) -> Callable[..., AsyncIterator[tuple[Any, ...]]]:
    """A handler that runs what ``build(*values)`` makes and shows it; see ``wire``."""

    async def generate(request: gr.Request, *values: Any) -> AsyncIterator[tuple[Any, ...]]:
        requests: list[Request] = []

        def cells() -> Sequence[Cell]:
            # An empty box sends None, which would read oddly in a sentence.
            requests.extend(build(*("" if value is None else value for value in values)))
            return [Cell((one,)) for one in requests]

        async for frame in live_run(
            context, str(request.session_hash), slot, cells, alone_may_fail=False
        ):
            updates = [[gr.skip()] * 3 for _ in range(panels)]
            for k in frame.changed:
                updates[k] = drawn(context, requests[k], frame.cells[k], captions)
            yield (
                frame.status,
                gr.update(interactive=frame.running),
                *(update for panel in updates for update in panel),
            )

    return generate


def drawn(
    context: AppContext, request: Request, view: CellView, captions: Captions | None = None
) -> list[Any]:
    """What the outputs of a panel show of its request."""
    pictures = view.pictures or view.previews
    if pictures is None or not len(pictures):
        return [gr.skip()] * 3
    entry = context.registry.find(request.checkpoint)  # None if its folder has vanished meanwhile
    figures = view.results[0].figures if view.done else {}
    words = captions(dict(figures)) if captions else ()
    room = ["&nbsp;"] * len(pictures) if captions else ()  # so nothing jumps later
    names = file_names(request) if isinstance(request, SampleRequest) and view.done else ()
    return [
        heading(entry.title) if entry is not None else gr.skip(),
        grid(pictures, words or room, saved_as=names, **words_of(request, figures, entry)),
        strip(figures, FAMILIES[entry.family].strip) if view.done and entry else gr.skip(),
    ]


def stoppable(context: AppContext, slot: str, button: gr.Button) -> None:
    """Let a Stop button end the visitor's run in a slot; the run itself then says so."""

    def end_run(request: gr.Request) -> None:  # "stop" would take the name of the API's own
        context.runs.stop(str(request.session_hash), slot)

    button.click(end_run, None, None, queue=False, **PRIVATE)


def heading(title: str = "") -> str:
    """A panel's heading; its place, and no heading, while there is no title."""
    tag = "h2" if title else "div"
    return f'<{tag} class="panel-title">{escape(title)}</{tag}>'


def missing(family: str, example: str) -> None:
    """What a tab says that has no checkpoint."""
    gr.Markdown(
        f"There is no {family} checkpoint yet. Train one with `python -m genlab train {example}`, "
        "then start GenLab again."
    )
