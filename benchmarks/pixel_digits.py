"""64 digits at 50 steps: GenLab's engine against the plain DDIM loop on the same network.

The plain loop is ``PixelDiffusionPipeline``, a stock ``DiffusionPipeline`` around ``UNet2DModel``
and ``DDIMScheduler``. Both draw the 64 for one person in one call, and for 16 people with 4 each,
whom the loop serves one by one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.serving import (
    Figures,
    Serve,
    Served,
    duels,
    genlab,
    one_by_one,
    open_house,
    table,
    warm_up,
)
from genlab.engine.device import pick_device
from genlab.families.pixel_diffusion.network import PixelDiffusionPipeline
from genlab.families.pixel_diffusion.request import PixelDiffusionRequest
from genlab.requests import UserError
from genlab.settings import Settings

DIGITS = 64
CROWDS = (1, 16)  # people who share the digits


def requests_of(
    checkpoint: str, people: int, scale: float, steps: int
) -> list[PixelDiffusionRequest]:
    """The digits 0 to 9 in turn, guided by their class, shared out among the people."""
    count = DIGITS // people
    return [
        PixelDiffusionRequest(
            checkpoint=checkpoint,
            seed=k * count,
            count=count,
            num_inference_steps=steps,
            guidance_scale=scale,
        )
        for k in range(people)
    ]


def stock(pipeline: PixelDiffusionPipeline, requests: Sequence[PixelDiffusionRequest]) -> Served:
    """The plain loop, one request a call."""

    def draw(request: Any) -> np.ndarray:
        images = pipeline(
            request.target_classes,
            num_inference_steps=request.num_inference_steps,
            guidance_scale=request.guidance_scale,
            generator=[
                torch.Generator().manual_seed(request.seed + k) for k in range(request.count)
            ],
        )
        return np.stack([np.asarray(image) for image in images])

    return one_by_one(draw, requests)


def compare(checkpoint: str, scale: float, steps: int, rounds: int, settings: Settings) -> Figures:
    """Both in turns, for each crowd; see ``duels``."""
    folder = Path(settings.checkpoints) / checkpoint
    pipeline = PixelDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.to(pick_device(settings.device))
    pipeline.set_progress_bar_config(disable=True)
    with open_house(settings, checkpoint) as client:

        def both(people: int, steps: int) -> tuple[Serve, Serve]:
            requests = requests_of(checkpoint, people, scale, steps)
            return lambda: stock(pipeline, requests), lambda: genlab(client, requests)

        warm_up(*(serve for people in CROWDS for serve in both(people, steps=1)))
        cases = {f"{n} x {DIGITS // n} digits, {steps} steps": both(n, steps) for n in CROWDS}
        return duels(cases, rounds)


def main() -> None:
    """Parse the command line, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", default="ddpm-mnist")
    parser.add_argument("--guidance-scale", type=float, default=2.0)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    try:
        figures = compare(
            given.checkpoint, given.guidance_scale, given.steps, given.rounds, Settings()
        )
    except UserError as error:
        raise SystemExit(str(error)) from None
    print(json.dumps(figures, indent=2) if given.json else table(figures))


if __name__ == "__main__":
    main()
