"""Mode Walk: from one picture to another, straight and along the sphere. Knows no tensor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import gradio as gr
import numpy as np

from genlab.families.gan.request import GANRequest
from genlab.families.pixel_diffusion.request import PixelDiffusionRequest
from genlab.families.vae.request import VAERequest
from genlab.families.walk import WalkRequest
from genlab.formats.metadata import ModelMetadata
from genlab.requests import parse_request
from genlab.ui.cells import Cell, CellView
from genlab.ui.components.panel import (
    FIRST_SEED,
    buttons,
    chooser,
    heading,
    numbered,
    seed_with_dice,
    titles,
)
from genlab.ui.components.pictures import blank, grid
from genlab.ui.components.run_button import on_press
from genlab.ui.context import AppContext
from genlab.ui.live_run import Frame, live_run

SLOT = "latents-walk"
INTRO = (
    "From the **z** of one seed to that of another: **straight** through the middle, or along the "
    "**sphere** near which all noise of many dimensions lies. How long is z in the middle of each "
    "way? What does each model make of a z as short as it has never seen?"
)
WAYS = {"linear": "straight", "spherical": "sphere"}
LABELS = {"vae": "VAE", "gan": "GAN", "pixel_diffusion": "Diffusion"}
KINDS: Mapping[str, type[WalkRequest]] = {
    "vae": VAERequest,
    "gan": GANRequest,
    "pixel_diffusion": PixelDiffusionRequest,
}
COUNT, MOST = 9, 16
DIFFUSION = {"guidance": "none", "num_inference_steps": 20, "preview_every": 5}
"""DDIM adds no noise of its own, so each picture is a function of the noise that it begins with."""


def build(context: AppContext) -> None:
    """Add the mode's content to the tab."""
    listed = {name: _entries(context, name) for name in KINDS}
    listed = {name: entries for name, entries in listed.items() if entries}
    gr.Markdown(INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["bench"]):
        with gr.Column(scale=1, min_width=280, elem_classes=["controls"]):
            seed = seed_with_dice(SLOT)
            to_seed = gr.Number(
                FIRST_SEED + 3, label="To the seed", info="The picture at the other end.",
                precision=0, elem_id=f"{SLOT}-to-seed",
            )  # fmt: skip
            count, _ = numbered(
                f"{SLOT}-count", "Count", "Pictures on each way, both ends included.",
                2, MOST, COUNT,
            )  # fmt: skip
            models = [
                chooser(
                    f"{SLOT}-{_short(name)}", LABELS[name], "The trained model that draws.",
                    titles(entries), entries[0].name,
                )
                for name, entries in listed.items()
            ]  # fmt: skip
            press = buttons(SLOT, "Walk")
        with gr.Column(scale=3, min_width=300):
            places = [_place(name) for name in listed]

    async def walk(
        request: gr.Request, seed: Any, to_seed: Any, count: Any, *names: Any
    ) -> AsyncIterator[tuple[Any, ...]]:
        requests: list[WalkRequest] = []

        def cells() -> list[Cell]:
            entries = [context.registry.entry(str(name)) for name in names]
            requests.extend(
                walk_request(entry, way, seed, to_seed, count) for entry in entries for way in WAYS
            )
            return [Cell((one,)) for one in requests]

        owner = str(request.session_hash)
        async for frame in live_run(context, owner, SLOT, cells, alone_may_fail=False):
            yield frame.status, gr.update(interactive=frame.running), *rows(requests, frame)

    def rows(requests: list[WalkRequest], frame: Frame) -> list[Any]:
        """Heading and two rows of pictures of each model."""
        updates: list[Any] = []
        for k in range(0, len(places) * len(WAYS), len(WAYS)):
            own = range(k, k + len(WAYS))
            if not frame.changed.intersection(own):
                updates += [gr.skip()] * 3
                continue
            entry = context.registry.find(requests[k].checkpoint)
            updates.append(heading(entry.title) if entry else gr.skip())
            updates += [_row(requests[j], frame.cells[j], entry) for j in own]
        return updates

    outputs = [part for place in places for part in place]
    on_press(context, SLOT, press, walk, [seed, to_seed, count, *models], outputs)


def walk_request(
    entry: ModelMetadata, way: str, seed: Any, to_seed: Any, count: Any
) -> WalkRequest:
    """One model's way; raises UserError for a wrong value."""
    values: dict[str, Any] = {
        "checkpoint": entry.name, "interpolation": way,
        "seed": "" if seed is None else seed, "to_seed": "" if to_seed is None else to_seed,
        "count": "" if count is None else count,
    }  # fmt: skip
    if entry.family == "pixel_diffusion":
        values |= DIFFUSION
    return parse_request(KINDS[entry.family], **values)


def lengths(extras: Mapping[str, Any]) -> np.ndarray:
    """How long the z of each picture is, (N,), by what a result says of it."""
    if "noise_norm" in extras:
        return extras["noise_norm"]
    return np.linalg.norm(extras["z"], axis=1)


def _row(request: WalkRequest, view: CellView, entry: ModelMetadata | None) -> Any:
    pictures = view.pictures or view.previews
    if pictures is None or not len(pictures):
        return gr.skip()
    note = ""
    if view.done:
        long = lengths(view.results[0].extras)
        note = f"z is {long[0]:.1f} long at the start, {long[len(long) // 2]:.1f} in the middle."
    ends = f"from seed {request.seed} to seed {request.to_seed}"
    alts = [f"picture {k + 1} of {len(pictures)} {ends}" for k in range(len(pictures))]
    name = f"{entry.title}, {WAYS[request.interpolation]}" if entry else ""
    shown = grid(pictures, columns=len(pictures), alts=alts, name=name)
    return way_row(WAYS[request.interpolation], shown, note)


def way_row(way: str, pictures: str, note: str | None = "") -> str:
    """Pictures on one way, its name before them; under them a note, or the place for one."""
    told = "" if note is None else f"<p>{note or '&nbsp;'}</p>"
    return f'<div class="way"><b>{way}</b><div>{pictures}{told}</div></div>'


def _place(name: str) -> tuple[gr.HTML, gr.HTML, gr.HTML]:
    with gr.Column(elem_classes=["panel"]):
        title = gr.HTML(heading(LABELS[name]), elem_classes=["flush"])
        straight, sphere = (
            gr.HTML(
                way_row(WAYS[way], blank(COUNT, 1)), elem_id=f"{SLOT}-{_short(name)}-{WAYS[way]}",
                elem_classes=["flush"],
            )
            for way in WAYS
        )  # fmt: skip
    return title, straight, sphere


def _entries(context: AppContext, family: str) -> list[ModelMetadata]:
    """Its models, those of digits first, of which those with a z of many numbers."""
    return sorted(
        context.registry.of_family(family),
        key=lambda e: (e.dataset != "mnist", e.facts.get("latent_dim") == 2, e.name),
    )


def _short(family: str) -> str:
    return "diffusion" if family == "pixel_diffusion" else family
