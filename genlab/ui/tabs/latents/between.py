"""Mode Between pictures: a way from one real picture to another, in pixels and in each VAE's codes.

Knows no tensor.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import gradio as gr
import numpy as np

from genlab.families.latents import DecodeRequest
from genlab.families.vae.request import ReconstructRequest
from genlab.families.walk import Interpolation, interpolated
from genlab.formats.metadata import ModelMetadata
from genlab.models.examples import examples
from genlab.requests import Request, UserError, parse_request
from genlab.ui.cells import Cell
from genlab.ui.chained_run import Views, chained_run
from genlab.ui.components.panel import PRIVATE, buttons, heading, missing, numbered
from genlab.ui.components.pictures import blank, grid
from genlab.ui.components.run_button import ended, on_press
from genlab.ui.context import AppContext
from genlab.ui.tabs.latents.draw import DATASET, TEST_DIGITS, digit_vaes, known_digit
from genlab.ui.tabs.latents.walk import MOST, WAYS, way_row

SLOT = "latents-between"
INTRO = (
    "From one **real digit** to another. Pixels only fade: half-way both are there, and neither. A "
    "VAE encodes both, walks from code to code, and decodes each step. Which of them draws a digit "
    "all the way? And what does the one without KL meet between its codes?"
)
FROM, TO, COUNT = 2, 5, 9


def build(context: AppContext) -> None:
    """Add the mode's content to the tab."""
    vaes = digit_vaes(context)
    if not vaes:
        missing("VAE", "vae-mnist-20d")
        return
    gr.Markdown(INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["bench"]):
        with gr.Column(scale=1, min_width=280, elem_classes=["controls"]):
            start, _ = numbered(
                f"{SLOT}-picture", "From the test picture", "By number.", 1, TEST_DIGITS, FROM
            )
            end, _ = numbered(
                f"{SLOT}-to-picture", "To the test picture", "By number.", 1, TEST_DIGITS, TO
            )
            count, _ = numbered(
                f"{SLOT}-count", "Count", "Pictures on each way, both ends included.",
                2, MOST, COUNT,
            )  # fmt: skip
            press = buttons(SLOT, "Walk")
        with gr.Column(scale=3, min_width=300):
            with gr.Column(elem_classes=["panel"]):
                gr.HTML(heading("Pixels, without a model"), elem_classes=["flush"])
                faded = gr.HTML(blank(COUNT, 1), elem_id=f"{SLOT}-pixels", elem_classes=["flush"])
            places = [_place(entry, k) for k, entry in enumerate(vaes)]

    async def walk(
        request: gr.Request, start: Any, end: Any, count: Any
    ) -> AsyncIterator[tuple[Any, ...]]:
        if start is None or end is None or count is None:  # a box that is being typed into
            yield (gr.skip(),) * (3 + len(places))
            return
        pixels = shares = np.empty(0)

        def encoded() -> list[Cell]:
            nonlocal pixels, shares
            known = examples(context.registry, DATASET)
            ends = np.stack([known_digit(known, start), known_digit(known, end)])
            shares = _shares(count)
            between = interpolated(*_ends(ends.astype(np.float32)), shares, "linear")
            pixels = between.round().astype(np.uint8)
            wanted: list[Request] = [
                parse_request(ReconstructRequest, checkpoint=entry.name, images=ends)
                for entry in vaes
            ]
            return [Cell((one,)) for one in wanted]

        def decoded(found: Views) -> list[Cell]:
            ways: tuple[Interpolation, ...] = ("linear", "spherical")
            cells = []
            for entry, view in zip(vaes, found, strict=True):
                first, last = _ends(view.results[0].extras["mu"])
                z = np.concatenate([interpolated(first, last, shares, way) for way in ways])
                cells.append(Cell((parse_request(DecodeRequest, checkpoint=entry.name, z=z),)))
            return cells

        owner = str(request.session_hash)
        context.openings.has_own(owner, SLOT)  # something is chosen: not what the panel opens with
        async for frame, found in chained_run(context, owner, SLOT, encoded, decoded):
            updates: list[Any] = [gr.skip()] * (1 + len(places))
            if found and ended(frame):
                updates = [pixel_row(pixels)]
                for entry, codes, view in zip(vaes, found, frame.cells, strict=True):
                    mu, pictures = codes.results[0].extras["mu"], view.results[0].images
                    updates.append(code_rows(entry.title, mu, pictures))
            yield frame.status, gr.update(interactive=frame.running), *updates

    inputs, outputs = [start, end, count], [faded, *places]
    on_press(context, SLOT, press, walk, inputs, outputs)
    light: dict[str, Any] = {"preprocess": False, **PRIVATE}
    gr.on(
        [start.change, end.change, count.change], walk, inputs,
        [press.status, press.stop, *outputs],
        trigger_mode="always_last", concurrency_limit=None, **light,
    )  # fmt: skip


def pixel_row(pictures: np.ndarray) -> str:
    """The fade from one picture to the other, uint8 (N, H, W)."""
    alts = [f"picture {k + 1} of {len(pictures)}, faded" for k in range(len(pictures))]
    shown = grid(pictures, columns=len(pictures), alts=alts, name="Pixels, faded")
    return way_row("faded", shown, None)


def code_rows(title: str, mu: np.ndarray, pictures: np.ndarray) -> str:
    """A VAE's two ways: the straight one's pictures, then as many along the sphere.

    Args:
        mu: the codes of both ends, (2, latent_dim).
        pictures: uint8 (2 N, H, W).
    """
    rows = []
    for way, own in zip(WAYS.values(), np.split(pictures, 2), strict=True):
        alts = [f"picture {k + 1} of {len(own)}, {way}" for k in range(len(own))]
        shown = grid(own, columns=len(own), alts=alts, name=f"{title}, {way}")
        rows.append(way_row(way, shown, None))
    apart = np.linalg.norm(mu[1] - mu[0])
    return f"{''.join(rows)}<p>The two codes lie {apart:.1f} apart.</p>"


def _place(entry: ModelMetadata, k: int) -> gr.HTML:
    with gr.Column(elem_classes=["panel"]):
        gr.HTML(heading(entry.title), elem_classes=["flush"])
        return gr.HTML(blank(COUNT, 2), elem_id=f"{SLOT}-vae-{k + 1}", elem_classes=["flush"])


def _shares(count: Any) -> np.ndarray:
    if not isinstance(count, (int, float)) or count not in range(2, MOST + 1):
        raise UserError(f"Count is {count!r}, but must be a whole number from 2 to {MOST}.")
    return np.linspace(0, 1, int(count), dtype=np.float32)


def _ends(pair: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return pair[:1], pair[1:]
