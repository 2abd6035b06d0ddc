"""Which model draws: the chooser, what it brings along, and models to be downloaded. No tensor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

import gradio as gr

from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.formats.metadata import ModelMetadata
from genlab.models.downloads import Offer
from genlab.requests import UserError
from genlab.ui.components.panel import PRIVATE, chooser, titles
from genlab.ui.components.progress import error_line, status_line
from genlab.ui.context import AppContext
from genlab.ui.state.controls import UNSHARED
from genlab.ui.tabs.stable_diffusion.controls import (
    GUIDANCE_INFO,
    SCHEDULER_INFO,
    Controls,
    restored,
)

FAMILIES = ("stable_diffusion", "text_to_image")
LOOK = 0.5  # seconds between two looks at a download
STEERED = ("num_inference_steps", "guidance_scale", "scheduler")
"""The settings that a model has its own best values for."""


def usable(context: AppContext) -> list[ModelMetadata]:
    """The models that draw from text and are here, Toybox first."""
    found = [entry for family in FAMILIES for entry in context.registry.of_family(family)]
    return sorted(found, key=lambda entry: entry.dataset != "toybox")


def more_models(
    context: AppContext,
) -> tuple[gr.Dropdown, gr.Textbox, gr.Button, gr.Button, gr.HTML] | None:
    """What can be downloaded, with its size, a button and Cancel; None if there is nothing.

    Where only the teacher may, there is a field for the teacher's key.
    """
    offers = context.registry.offers()
    if all(offer.state == "ready" for offer in offers):
        return None
    with gr.Accordion("Real models to download", open=False, elem_id="sd-more"):
        offered = chooser(
            "sd-offer", "Model", "From huggingface.co, to this machine's disk.",
            [(described(offer), offer.name) for offer in offers], offers[0].name,
        )  # fmt: skip
        key = gr.Textbox(
            label="Teacher's key", info="Only the teacher starts or stops downloads here.",
            type="password", max_length=200, elem_id="sd-teacher-key",
            elem_classes=[UNSHARED], visible=context.teacher.has_key,
        )  # fmt: skip
        with gr.Row(elem_classes=["go"]):
            fetch = gr.Button("Download", elem_id="sd-fetch", min_width=100)
            cancel = gr.Button("Cancel", interactive=False, elem_id="sd-fetch-cancel", min_width=80)
        status = gr.HTML(elem_id="sd-fetch-status", elem_classes=["flush"])
    return offered, key, fetch, cancel, status


def wire_models(context: AppContext, controls: Controls, more: Sequence[Any] | None) -> None:
    """Let a chosen model bring its defaults and limits, and a download arrive in the chooser."""
    limited = [controls.guidance, controls.guidance_slider, controls.scheduler]
    light: dict[str, Any] = {"queue": False, "preprocess": False, **PRIVATE}

    def begin(name: Any) -> list[Any]:
        return restored(defaults(context.registry.entry(str(name))))

    def limit(name: Any) -> list[Any]:
        return limits(context.registry.entry(str(name)))

    # A restored picture changes the model too, but brings its own settings: only a visitor's own
    # choice brings the defaults.
    controls.checkpoint.input(begin, controls.checkpoint, controls.outputs, **light)
    controls.checkpoint.change(limit, controls.checkpoint, limited, **light)
    if more is None:
        return
    offered, key, fetch, cancel, status = more

    def refreshed() -> list[Any]:
        return [
            gr.Dropdown(choices=titles(usable(context))),
            gr.Dropdown(choices=[(described(o), o.name) for o in context.registry.offers()]),
        ]

    async def stop_download(name: Any, given: Any) -> Any:
        try:
            await context.teacher.check(str(given or ""), "stop downloads")
        except UserError as error:
            return error_line(str(error))
        with suppress(UserError):  # there is no such offer, so nothing to stop
            context.registry.stop_fetching(str(name))
        return gr.skip()

    async def download(name: Any, given: Any) -> AsyncIterator[tuple[Any, ...]]:
        async for sentence, running in downloading(context, str(name), str(given or "")):
            choosers = [gr.skip(), gr.skip()] if running else refreshed()
            yield sentence, gr.Button(interactive=running), *choosers

    fetch.click(
        download, [offered, key], [status, cancel, controls.checkpoint, offered],
        preprocess=False, concurrency_limit=None, **PRIVATE,
    )  # fmt: skip
    cancel.click(stop_download, [offered, key], status, **light)
    gr.on(None, refreshed, None, [controls.checkpoint, offered], queue=False, **PRIVATE)


async def downloading(
    context: AppContext, name: str, key: str = ""
) -> AsyncIterator[tuple[str, bool]]:
    """Start a download and report its progress: a status line, and whether it goes on.

    Where only the teacher may, ``key`` has to be theirs.

    It goes on when the visitor leaves; who presses Download again sees it.
    """
    try:
        await context.teacher.check(key, "start downloads")
        context.registry.fetch(name)
    except UserError as error:
        yield error_line(str(error)), False
        return
    while True:
        offer = next(offer for offer in context.registry.offers() if offer.name == name)
        if offer.state == "failed":
            yield error_line(offer.reason), False
            return
        if offer.state != "downloading":
            sentence = (
                f"{offer.title} is here: choose it above."
                if offer.state == "ready"
                else "Cancelled; what has arrived is kept."
            )
            yield status_line(sentence), False
            return
        yield status_line(f"{offer.progress:.0%} of {size(offer)}", offer.progress), True
        await asyncio.sleep(LOOK)


def defaults(entry: ModelMetadata) -> dict[str, Any]:
    """The values that a model draws best with."""
    usual = {name: StableDiffusionRequest.model_fields[name].default for name in STEERED}
    return usual | {k: v for k, v in entry.defaults.items() if k in STEERED}


def limits(entry: ModelMetadata) -> list[Any]:
    """Updates of guidance, its slider and the scheduler: off where the model does without."""
    guided = entry.distilled is None
    own = bool(entry.facts.get("own_scheduler"))
    return [
        gr.Number(interactive=guided, info=entry.distilled or GUIDANCE_INFO),
        gr.Slider(interactive=guided),
        gr.Dropdown(
            interactive=not own,
            info="This model runs with its own scheduler." if own else SCHEDULER_INFO,
        ),
    ]


def described(offer: Offer) -> str:
    """An offer in the chooser: what it is, how large, whether it is here."""
    here = {"ready": "here", "downloading": "downloading"}.get(offer.state)
    return f"{offer.title} ({here or size(offer)})"


def size(offer: Offer) -> str:
    """How much a download is."""
    if offer.gb is None:
        return "size unknown"
    amount = f"{offer.gb:.1f} GB" if offer.gb >= 0.1 else f"{1000 * offer.gb:.0f} MB"
    return f"about {amount}" if offer.about else amount
