"""Mode Noise: a real picture at each t of the forward process, and what is seen behind the noise.

Knows no tensor.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import gradio as gr
import numpy as np

from genlab.engine.events import Result
from genlab.families.pixel_diffusion.request import DenoiseRequest, written
from genlab.models.examples import examples
from genlab.requests import UserError, parse_request
from genlab.ui.cells import Cell
from genlab.ui.components.panel import (
    buttons,
    chooser,
    heading,
    missing,
    numbered,
    seed_with_dice,
    titles,
)
from genlab.ui.components.pictures import blank, grid
from genlab.ui.components.run_button import on_press
from genlab.ui.context import AppContext
from genlab.ui.live_run import live_run
from genlab.ui.tabs.latents.schedules import plot

SLOT = "latents-noise"
INTRO = (
    "The forward process mixes a picture with noise: **xₜ = √ᾱₜ · x₀ + √(1 − ᾱₜ) · ε**. Under "
    "each xₜ stands what the network sees behind it in **one step**, and what the **whole chain** "
    "makes of it. Why is the guess a blur where little signal is left, and the chain's end is not?"
)
TIMES = (20, 100, 200, 300, 400, 500, 600, 700, 800, 980)
STEPS = 50
TEST_PICTURES = 100
WORDS = "One picture at ten timesteps: noised, guessed in one step, denoised"


def build(context: AppContext) -> None:
    """Add the mode's content to the tab."""
    entries = context.registry.of_family("pixel_diffusion")
    entries = sorted(entries, key=lambda entry: (entry.dataset != "mnist", entry.name))
    if not entries:
        missing("pixel diffusion", "ddpm-mnist")
        return
    gr.Markdown(INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["bench"]):
        with gr.Column(scale=1, min_width=280, elem_classes=["controls"]):
            checkpoint = chooser(
                f"{SLOT}-checkpoint", "Checkpoint", "The trained model that draws.",
                titles(entries), entries[0].name,
            )  # fmt: skip
            picture, _ = numbered(
                f"{SLOT}-picture", "Test picture", "By number.", 1, TEST_PICTURES, 4
            )
            seed = seed_with_dice(SLOT)
            press = buttons(SLOT, "Noise it")
        with gr.Column(scale=3, min_width=300), gr.Column(elem_classes=["panel"]):
            title = gr.HTML(heading(), elem_classes=["flush"])
            rows = gr.HTML(
                blank(len(TIMES), 3), elem_id=f"{SLOT}-rows", elem_classes=["flush", "result"]
            )

    async def noise(
        request: gr.Request, checkpoint: Any, picture: Any, seed: Any
    ) -> AsyncIterator[tuple[Any, ...]]:
        def cells() -> list[Cell]:
            entry = context.registry.entry(str(checkpoint))
            images = examples(context.registry, entry.dataset).images[:TEST_PICTURES]
            if picture not in range(1, len(images) + 1):
                raise UserError(
                    f"The test picture is {picture!r}, but must be a number from 1 to "
                    f"{len(images)}."
                )
            clean = written(images[int(picture) - 1])
            return [Cell((denoise_request(entry.name, clean, t, seed),)) for t in TIMES]

        owner = str(request.session_hash)
        async for frame in live_run(context, owner, SLOT, cells, alone_may_fail=False):
            on = gr.update(interactive=frame.running)
            if frame.running or not frame.cells or not all(view.done for view in frame.cells):
                yield frame.status, on, gr.skip(), gr.skip()
                continue
            entry = context.registry.entry(str(checkpoint))
            results = [view.results[0] for view in frame.cells]
            yield frame.status, on, heading(entry.title), table(results)

    on_press(context, SLOT, press, noise, [checkpoint, picture, seed], [title, rows])


def denoise_request(checkpoint: str, picture: str, t: int, seed: Any) -> DenoiseRequest:
    """One picture from one t; raises UserError for a wrong seed."""
    return parse_request(
        DenoiseRequest, checkpoint=checkpoint, picture=picture, start_timestep=t, count=1,
        seed="" if seed is None else seed, guidance="none", num_inference_steps=STEPS,
        trajectory=True,
    )  # fmt: skip


def table(results: Sequence[Result]) -> str:
    """Three rows, a column for each t, and the signal-to-noise ratio at these t."""
    times = [float(result.extras["trajectory_timesteps"][0]) for result in results]
    shares = [float(result.extras["trajectory_alpha_bar"][0]) for result in results]
    labels = [f"t = {t:.0f}<br>{_percent(share)}" for t, share in zip(times, shares, strict=True)]
    rows = "".join(
        _row(words, np.stack(pictures), times, captions)
        for words, pictures, captions in (
            ("xₜ", [r.extras["trajectory_x_t"][0, 0] for r in results], labels),
            ("one step", [r.extras["trajectory_uncond"][0, 0] for r in results], ()),
            ("whole chain", [r.images[0] for r in results], ()),
        )
    )
    note = '<p class="note">Per cent: ᾱ, the share of signal in the variance of xₜ.</p>'
    window = f'<div class="wide" role="region" tabindex="0" aria-label="{WORDS}">{rows}</div>'
    return f"{window}{note}{plot(times, shares)}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.1f} %"


def _row(words: str, pictures: np.ndarray, times: Sequence[float], captions: Sequence[str]) -> str:
    alts = [f"{words}, t = {t:.0f}" for t in times]
    shown = grid(pictures, captions, columns=len(pictures), alts=alts)
    return f'<div class="way"><b>{words}</b><div>{shown}</div></div>'
