"""A class asks at once: GenLab's engine against the stock pipeline serving one by one, as ratios.

Both run in this process, on the same weights, device and threads, in turns; so the ratios hold on
a machine that is busy or slow, where seconds do not.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline

from benchmarks.serving import (
    Served,
    difference,
    genlab,
    median,
    one_by_one,
    open_house,
    warm_up,
)
from genlab.diffusion.schedulers import make_scheduler
from genlab.engine.device import Device
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.settings import Settings

PROMPTS = (
    "a red 7 on a blue background",
    "a green sneaker on a black background",
    "a yellow 3 on a white background",
    "a white bag on a red background",
)


def a_class(people: int, checkpoint: str, seed: int) -> list[StableDiffusionRequest]:
    """One picture a person; steps from 10 to 30, prompts, seeds and scales differ."""
    draw = random.Random(seed)
    return [
        StableDiffusionRequest(
            checkpoint=checkpoint,
            prompt=PROMPTS[k % len(PROMPTS)],
            seed=seed + k,
            count=1,
            num_inference_steps=draw.randint(10, 30),
            guidance_scale=draw.choice([2.0, 4.0, 7.5]),
            scheduler="ddim",
        )
        for k in range(people)
    ]


def open_stock(settings: Settings, checkpoint: str) -> StableDiffusionPipeline:
    """diffusers' own pipeline on the same weights, device and number format."""
    device = Device(settings.device)
    pipeline = StableDiffusionPipeline.from_pretrained(
        Path(settings.checkpoints) / checkpoint,
        torch_dtype=device.dtype,
        safety_checker=None,
        requires_safety_checker=False,
        local_files_only=True,
    ).to(device.torch)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def stock(pipeline: StableDiffusionPipeline, requests: Sequence[StableDiffusionRequest]) -> Served:
    """Serve in the order of arrival with diffusers' own pipeline, one request a call."""

    def draw(request: Any) -> np.ndarray:
        pipeline.scheduler = make_scheduler(request.scheduler, pipeline.scheduler.config)
        output = pipeline(
            request.prompt,
            num_inference_steps=request.num_inference_steps,
            guidance_scale=request.guidance_scale,
            generator=[torch.Generator().manual_seed(request.seed)],
        )
        return np.stack([np.asarray(image) for image in output.images])

    return one_by_one(draw, requests)


def compare(checkpoint: str, people: int, rounds: int, settings: Settings) -> dict[str, float]:
    """Run both servers in turns and return medians over the rounds, and their ratios."""
    alone = a_class(1, checkpoint, seed=1)
    with open_house(settings, checkpoint) as client:
        pipeline = open_stock(settings, checkpoint)
        servers: dict[str, Callable[[Sequence[StableDiffusionRequest]], Served]] = {
            "stock": lambda requests: stock(pipeline, requests),
            "genlab": lambda requests: genlab(client, requests),
        }
        warm_up(
            *(lambda serve=serve: serve(alone) for serve in servers.values()),
            lambda: genlab(client, a_class(people, checkpoint, seed=0)),
        )
        everybody = {name: list[Served]() for name in servers}
        one = {name: list[Served]() for name in servers}
        for turn in range(rounds):
            for name, serve in servers.items():
                everybody[name].append(serve(a_class(people, checkpoint, seed=100 * turn)))
                one[name].append(serve(alone))
    figures: dict[str, float] = {}
    for name in servers:
        figures[f"{name}_images_per_second"] = median(
            [r.images_per_second for r in everybody[name]]
        )
        figures[f"{name}_p95_seconds"] = median([r.p95 for r in everybody[name]])
        figures[f"{name}_alone_seconds"] = median([r.p95 for r in one[name]])
    return figures | {
        "throughput_ratio": figures["genlab_images_per_second"]
        / figures["stock_images_per_second"],
        "p95_ratio": figures["genlab_p95_seconds"] / figures["stock_p95_seconds"],
        "alone_ratio": figures["genlab_alone_seconds"] / figures["stock_alone_seconds"],
        "largest_pixel_difference": difference(everybody["stock"], everybody["genlab"]),
    }


def table(figures: dict[str, float], people: int) -> str:
    """The figures for people."""
    lines = [f"{'':34}{'stock':>10}{'GenLab':>10}{'ratio':>9}"]
    for words, key, ratio in (
        (f"{people} at once, images a second", "images_per_second", "throughput_ratio"),
        (f"{people} at once, p95 latency in s", "p95_seconds", "p95_ratio"),
        ("one alone, seconds", "alone_seconds", "alone_ratio"),
    ):
        lines.append(
            f"{words:34}{figures[f'stock_{key}']:10.2f}{figures[f'genlab_{key}']:10.2f}"
            f"{figures[ratio]:8.2f}x"
        )
    lines.append(f"largest pixel difference: {figures['largest_pixel_difference']:.0f} of 255")
    return "\n".join(lines)


def main() -> None:
    """Parse the command line, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--checkpoint", default="stable-diffusion-toybox")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    figures = compare(options.checkpoint, options.people, options.rounds, Settings())
    print(json.dumps(figures, indent=2) if options.json else table(figures, options.people))


if __name__ == "__main__":
    main()
