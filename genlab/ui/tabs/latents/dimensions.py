"""Mode Single dimensions: one number of a code moves, all others stay. Knows no tensor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from html import escape
from typing import Any

import gradio as gr
import numpy as np

from genlab.families.latents import DecodeRequest
from genlab.families.vae.request import ReconstructRequest, VAERequest
from genlab.formats.metadata import ModelMetadata
from genlab.models.examples import examples
from genlab.requests import UserError, parse_request
from genlab.ui.cells import Cell
from genlab.ui.chained_run import Views, chained_run
from genlab.ui.components.panel import (
    PRIVATE,
    buttons,
    chooser,
    heading,
    missing,
    numbered,
    seed_with_dice,
    titles,
)
from genlab.ui.components.pictures import blank, grid
from genlab.ui.components.run_button import ended, on_press
from genlab.ui.context import AppContext
from genlab.ui.model_choices import lists
from genlab.ui.tabs.vae.kinds import reconstructs

SLOT = "latents-dimensions"
INTRO = (
    "Each row moves **one number of z** from −3 to 3 and leaves the others. The rows are those "
    "that tell the decoder most: their **KL to N(0, I)**, in nats a picture, is what the loss pays "
    "for them. Which one slants a digit, which one makes it another? And which ones say nothing?"
)
SHOWN = 8  # dimensions with a slider and a row
REACH, TILES = 3.0, 9  # of a row
BEYOND = 4.0  # of a slider, which is added to what the seed gives
ENCODED = 300  # test pictures on which the KL stands
SILENT = 0.05  # nats; a dimension of less says nothing


def build(context: AppContext) -> None:
    """Add the mode's content to the tab."""
    entries = [entry for entry in context.registry.of_family("vae") if fits(entry)]
    entries.sort(key=lambda entry: (entry.dataset != "mnist", entry.name))
    if not entries:
        missing("VAE", "vae-mnist-20d")
        return
    gr.Markdown(INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["bench"]):
        with gr.Column(scale=1, min_width=280, elem_classes=["controls"]):
            checkpoint = chooser(
                f"{SLOT}-checkpoint", "Checkpoint", "The trained model that draws.",
                titles(entries), entries[0].name,
            )  # fmt: skip
            lists([checkpoint], ["vae"], fits)
            seed = seed_with_dice(SLOT)
            press = buttons(SLOT, "Draw the rows")
            picture = gr.HTML(
                _whole(blank(1, 1, "&nbsp;")), elem_id=f"{SLOT}-picture",
                elem_classes=["flush", "in-sight"],
            )  # fmt: skip
            shifts = [
                numbered(
                    f"{SLOT}-row-{k}", f"Row {k}", "Added to this number of z.",
                    -BEYOND, BEYOND, 0, 0.1,
                )[0]
                for k in range(1, SHOWN + 1)
            ]  # fmt: skip
        with gr.Column(scale=3, min_width=300), gr.Column(elem_classes=["panel"]):
            title = gr.HTML(heading(), elem_classes=["flush"])
            rows = gr.HTML(
                blank(TILES, SHOWN), elem_id=f"{SLOT}-rows", elem_classes=["flush", "result"]
            )

    measured: dict[str, tuple[ModelMetadata, np.ndarray]] = {}  # the KL of each dimension

    def known(name: Any) -> np.ndarray | None:
        """The KL of a checkpoint's dimensions, if this very one has been measured."""
        before = measured.get(str(name))
        entry = context.registry.find(str(name))
        return before[1] if before is not None and before[0] is entry else None

    async def explore(
        request: gr.Request, checkpoint: Any, seed: Any, *shifts: Any
    ) -> AsyncIterator[tuple[Any, ...]]:
        if any(shift is None for shift in shifts):  # a box that is being typed into
            yield (gr.skip(),) * 5
            return
        kl = known(checkpoint)
        code: list[np.ndarray] = []

        def begun() -> list[Cell]:
            entry = context.registry.entry(str(checkpoint))
            start = parse_request(
                VAERequest, checkpoint=entry.name, seed="" if seed is None else seed, count=1,
                **({"label": 0} if entry.facts.get("classes") else {}),
            )  # fmt: skip
            wanted = [Cell((start,))]
            if kl is None:
                images = examples(context.registry, entry.dataset).images[:ENCODED]
                encode = parse_request(ReconstructRequest, checkpoint=entry.name, images=images)
                wanted.append(Cell((encode,)))
            return wanted

        def moved(found: Views) -> list[Cell]:
            nonlocal kl
            if kl is None:
                kl = kl_of(found[1].results[0].extras)
                entry = context.registry.entry(str(checkpoint))
                if len(measured) > 64:
                    measured.clear()
                measured[entry.name] = entry, kl
            code[:] = [shifted(found[0].results[0].extras["z"][0], kl, shifts)]
            z = codes_of(code[0], kl)
            return [Cell((parse_request(DecodeRequest, checkpoint=str(checkpoint), z=z),))]

        owner = str(request.session_hash)
        context.openings.has_own(owner, SLOT)  # a slider has moved: not what the panel opens with
        async for frame, found in chained_run(context, owner, SLOT, begun, moved):
            on = gr.update(interactive=frame.running)
            if not found or kl is None or not ended(frame):
                yield frame.status, on, gr.skip(), gr.skip(), gr.skip()
                continue
            entry = context.registry.entry(str(checkpoint))
            images = frame.cells[0].results[0].images
            yield (
                frame.status,
                on,
                heading(entry.title),
                whole(kl, images),
                table(code[0], kl, images),
            )

    inputs, outputs = [checkpoint, seed, *shifts], [title, picture, rows]
    on_press(context, SLOT, press, explore, inputs, outputs)
    light: dict[str, Any] = {"preprocess": False, **PRIVATE}
    gr.on(
        [shift.change for shift in shifts], explore, inputs,
        [press.status, press.stop, *outputs],
        trigger_mode="always_last", concurrency_limit=None, **light,
    )  # fmt: skip


def fits(entry: ModelMetadata) -> bool:
    """Whether a VAE has an encoder, and more dimensions than a plane."""
    return reconstructs(entry) and entry.facts.get("latent_dim", 0) > 2


def kl_of(extras: Any) -> np.ndarray:
    """KL(q(z_i | x) || N(0, 1)) of each dimension, (latent_dim,), in nats, mean over pictures.

    Args:
        extras: of a reconstruction: ``mu`` and ``logvar``, each (N, latent_dim).
    """
    mu, logvar = extras["mu"].astype(np.float64), extras["logvar"].astype(np.float64)
    return 0.5 * (np.square(mu) + np.exp(logvar) - 1 - logvar).mean(axis=0)


def most(kl: np.ndarray) -> np.ndarray:
    """The dimensions with a row, those that tell most first."""
    return np.argsort(-kl, kind="stable")[:SHOWN]


def shifted(z: np.ndarray, kl: np.ndarray, shifts: Sequence[Any]) -> np.ndarray:
    """A code (latent_dim,) with what the sliders add; raises UserError for what is no number."""
    moved = z.copy()
    for k, shift in enumerate(shifts, 1):
        if not isinstance(shift, (int, float)) or not -BEYOND <= shift <= BEYOND:
            raise UserError(
                f"Row {k} is moved by {shift!r}, but must be from {-BEYOND:g} to {BEYOND:g}."
            )
    for dimension, shift in zip(most(kl), shifts, strict=False):
        moved[dimension] += shift
    return moved


def codes_of(code: np.ndarray, kl: np.ndarray) -> np.ndarray:
    """The code itself, then for each row TILES codes in which its dimension moves."""
    rows = [code[None]]
    for dimension in most(kl):
        row = np.repeat(code[None], TILES, axis=0)
        row[:, dimension] = np.linspace(-REACH, REACH, TILES)
        rows.append(row)
    return np.concatenate(rows)


def whole(kl: np.ndarray, images: np.ndarray) -> str:
    """The picture of the code, and what all its dimensions tell."""
    silent = int((kl < SILENT).sum())
    told = (
        f"All {len(kl)} dimensions together: {kl.sum():.1f} nats. "
        f"{silent} of them say less than {SILENT:g} nats."
    )
    alt = "The picture of the seed, moved as the sliders say"
    return _whole(grid(images[:1], columns=1, alts=[alt]), told)


def _whole(picture: str, told: str = "") -> str:
    return f'<div class="whole"><div>{picture}</div><p>{escape(told)}</p></div>'


def table(code: np.ndarray, kl: np.ndarray, images: np.ndarray) -> str:
    """A row of pictures for each dimension, with what it tells in nats and where the code is."""
    rows, ruler = [], _ruler()
    for k, dimension in enumerate(most(kl)):
        own = images[1 + k * TILES : 1 + (k + 1) * TILES]
        at = np.linspace(-REACH, REACH, TILES)
        alts = [f"dimension {dimension + 1} at {value:g}" for value in at]
        here = f"left: {100 * _share(float(code[dimension])):.1f}%"
        rows.append(
            f'<div class="way dimension"><b>{k + 1}: z{_low(dimension + 1)}'
            f"<small>{kl[dimension]:.2f} nats</small></b><div>"
            f"{grid(own, columns=TILES, alts=alts)}"
            f'<p class="ruler"><i style="{here}"></i>{ruler}</p></div></div>'
        )
    return "".join(rows)


def _ruler() -> str:
    """The numbers under the outer and the middle tile."""
    return "".join(
        f'<span style="left: {100 * _share(value):.1f}%">{text}</span>'
        for value, text in ((-REACH, f"−{REACH:g}"), (0.0, "0"), (REACH, f"{REACH:g}"))
    )


def _share(value: float) -> float:
    """Where a value lies along a row of tiles, from 0 to 1; the outer tiles' middles are ±REACH."""
    return float(np.clip((value / REACH * (TILES - 1) / TILES + 1) / 2, 0, 1))


def _low(number: int) -> str:
    """A number in low digits."""
    return "".join("₀₁₂₃₄₅₆₇₈₉"[int(digit)] for digit in str(number))
