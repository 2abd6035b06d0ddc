"""Bring your own checkpoint: a file dropped on a tab, how it was understood, and corrections.

Knows no model family and no tensor; what a file is, ``genlab.models.imports`` says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape
from pathlib import Path
from typing import Any, get_args

import gradio as gr

from genlab.formats.diagram import diagram
from genlab.formats.recognise.guesses import Corrections, Guess, Hidden, Output, Range
from genlab.models.imports.convert import ENDINGS
from genlab.models.imports.visitors import Brought, bring, bring_from_hub, correct
from genlab.requests import UserError, parse_request
from genlab.ui.components.panel import PRIVATE, chooser
from genlab.ui.components.progress import error_line, status_line
from genlab.ui.context import AppContext
from genlab.ui.model_choices import LOOK
from genlab.ui.state.controls import UNSHARED

ONE_AT_A_TIME = ThreadPoolExecutor(max_workers=1, thread_name_prefix="genlab-import")
"""A class that uploads at the same moment takes turns, and the page's other threads stay free."""
AS_GUESSED = "as guessed"
DATASETS = (("MNIST's classifier", "mnist"), ("Fashion-MNIST's classifier", "fashion"),
            ("nobody", ""))  # fmt: skip
YES_NO = {"yes": True, "no": False}
INTRO = (
    "A VAE or a GAN that you trained: a state dict (`.pth`, `.pt`), `.safetensors`, `.onnx` (z in, "
    "picture out) or a ZIP of a folder in the hub layout, at most 64 MB. **Only you see it**, and "
    "it is gone when you leave. Nothing in the file is run."
)


def bring_your_own(context: AppContext, slot: str) -> None:
    """An accordion that takes a file and shows what it was understood as; elem_ids ``<slot>-own``
    and, inside, ``-own-file``, ``-own-status``, ``-own-diagram``, ``-own-again``.

    Nothing at all where visitors can bring no models.
    """
    if not context.registry.own.allowed:
        return
    with gr.Accordion("Bring your own checkpoint", open=False, elem_id=f"{slot}-own"):
        gr.Markdown(INTRO, elem_classes=["intro"])
        with gr.Row(elem_classes=["own"]):
            with gr.Column(scale=1, min_width=280):
                file = gr.File(
                    label="Your checkpoint", file_types=list(ENDINGS), height=140,
                    elem_id=f"{slot}-own-file",
                )  # fmt: skip
                dataset = chooser(
                    f"{slot}-own-dataset", "Judged by", "For grey pictures of 28 x 28.",
                    DATASETS, "mnist",
                )  # fmt: skip
                hub = gr.Textbox(
                    label="Or a model of the hub", info="org/name; fetched from huggingface.co.",
                    max_length=96, visible=_may_fetch(context), elem_id=f"{slot}-own-hub",
                )  # fmt: skip
                status = gr.HTML(elem_id=f"{slot}-own-status", elem_classes=["status", "flush"])
            with gr.Column(scale=2, min_width=300):
                shown = gr.HTML(elem_id=f"{slot}-own-diagram", elem_classes=["flush"])
                with gr.Column(visible=False, elem_id=f"{slot}-own-corrections") as corrected:
                    fields = _fields(slot)
                    again = gr.Button("Apply corrections", elem_id=f"{slot}-own-again", scale=0)
        mine = gr.State("")  # the name of the model that the corrections are of
    for part in (dataset, hub, *fields):
        part.elem_classes = [*(part.elem_classes or []), UNSHARED]
    outputs = [status, shown, corrected, mine, *fields]

    async def take(request: gr.Request, file: Any, dataset: Any) -> AsyncIterator[list[Any]]:
        if not file:
            yield [gr.skip()] * len(outputs)
            return
        yield [status_line("Reading the file ..."), *[gr.skip()] * (len(outputs) - 1)]
        owner, path = str(request.session_hash), Path(file["path"])
        name = str(file.get("orig_name") or path.name)
        yield await _told(lambda: bring(context.registry, owner, path, name, str(dataset or "")))

    async def fetched(request: gr.Request, repo_id: Any, dataset: Any) -> AsyncIterator[list[Any]]:
        yield [status_line("Asking huggingface.co ..."), *[gr.skip()] * (len(outputs) - 1)]
        owner, name = str(request.session_hash), str(repo_id or "").strip()
        yield await _told(lambda: bring_from_hub(context.registry, owner, name, str(dataset or "")))

    async def repeat(request: gr.Request, name: Any, dataset: Any, *values: Any) -> list[Any]:
        owner = str(request.session_hash)
        return await _told(
            lambda: correct(
                context.registry, owner, str(name), _corrections(values), str(dataset or "")
            ),
            values,
        )

    quick: dict[str, Any] = {"preprocess": False, "concurrency_limit": None, **PRIVATE}
    file.upload(take, [file, dataset], outputs, **quick).then(None, None, None, js=LOOK)
    file.clear(lambda: "", None, outputs[0], **quick)
    if _may_fetch(context):
        hub.submit(fetched, [hub, dataset], outputs, **quick).then(None, None, None, js=LOOK)
    again.click(repeat, [mine, dataset, *fields], outputs, **quick).then(None, None, None, js=LOOK)


def _may_fetch(context: AppContext) -> bool:
    """Whether any visitor may have something fetched from the hub."""
    return context.settings.downloads and not context.teacher.has_key


def _fields(slot: str) -> list[gr.components.Component]:
    """What can be corrected, in the order of CORRECTED."""
    choices = {
        "hidden": ("Between layers", "Activation.", get_args(Hidden)),
        "output": ("Last layer", "Activation.", get_args(Output)),
        "range": ("Grey values", "From black to white.", get_args(Range)),
        "invert": ("Inverted", "Trained on dark on bright.", tuple(YES_NO)),
        "label_first": ("Class before z", "Of those that are told one.", tuple(YES_NO)),
        "reshape_active": ("Before planes", "Whether an activation is there.", tuple(YES_NO)),
    }
    with gr.Row(elem_classes=["corrections"]):
        fields: list[gr.components.Component] = [
            chooser(
                f"{slot}-own-{name.replace('_', '-')}", label, info,
                [(AS_GUESSED, ""), *((value.replace("_", " "), value) for value in values)], "",
            )
            for name, (label, info, values) in choices.items()
        ]  # fmt: skip
        for name, (label, info) in NUMBERS.items():
            fields.append(
                gr.Number(None, label=label, info=info, elem_id=f"{slot}-own-{name}", min_width=140)
            )
    return fields


NUMBERS = {
    "size": ("Picture size", "Pixels; empty: as guessed."),
    "classes": ("Classes", "0: none; empty: as guessed."),
    "eps": ("Batch norm eps", "Empty: as guessed."),
}
ANSWERED = ("invert", "label_first", "reshape_active")
"""Corrections that are a yes or a no."""
CORRECTED = ("hidden", "output", "range", *ANSWERED, *NUMBERS)
UNCORRECTED = [None if name in NUMBERS else "" for name in CORRECTED]


def _corrections(values: Sequence[Any]) -> Corrections:
    """What a visitor has said; raises UserError for a wrong value."""
    said: dict[str, Any] = {}
    for name, value in zip(CORRECTED, values, strict=True):
        if value in ("", None):
            continue
        said[name] = YES_NO.get(str(value), value) if name in ANSWERED else value
    return parse_request(Corrections, **said)


async def _told(work: Callable[[], Brought], values: Sequence[Any] = UNCORRECTED) -> list[Any]:
    """Updates of all outputs: what came of a file, or why nothing did."""
    try:
        brought: Brought = await asyncio.get_running_loop().run_in_executor(ONE_AT_A_TIME, work)
    except UserError as error:
        kept = [gr.skip()] * (len(CORRECTED) + 3)
        return [error_line(str(error)), *kept]
    entry = brought.metadata
    kind = "VAE" if entry.family == "vae" else "GAN"
    sentence = f"{entry.title} is here: choose it in the {kind} tab, or draw it in Compare."
    correctable = bool(brought.imported.guesses)
    return [
        status_line(sentence),
        understood(brought),
        gr.Column(visible=correctable),
        entry.name,
        *values,
    ]


def understood(brought: Brought) -> str:
    """How a file was understood, as HTML: layers, guesses, notes."""
    imported = brought.imported
    rows = "".join(
        f'<dt>{escape(title)}</dt><dd class="layers">{_layers(layers)}</dd>'
        for title, layers in diagram(imported.parts)
    )
    return (
        f'<div class="understood"><p>Recognised as <b>{escape(imported.layout)}</b>.</p>'
        f"<dl>{rows}</dl>{_guesses(imported.guesses)}"
        + "".join(f'<p class="note">{escape(note)}</p>' for note in imported.notes)
        + "</div>"
    )


def _layers(layers: Sequence[tuple[str, bool]]) -> str:
    return " ".join(
        f"<i>{escape(words)}</i>" if guessed else f"<span>{escape(words)}</span>"
        for words, guessed in layers
    )


def _guesses(guesses: Sequence[Guess]) -> str:
    if not guesses:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(guess.name.replace("_", " "))}</th>'
        f"<td>{escape(guess.value)}</td><td>{escape(guess.why)}</td></tr>"
        for guess in guesses
    )
    return (
        "<table><caption>No file says these. They were guessed, or said by you.</caption>"
        f"<tbody>{rows}</tbody></table>"
    )
