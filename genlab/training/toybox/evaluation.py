"""Measures Toybox: draws prompts through the engine and lets the judge read the pictures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from genlab import metrics
from genlab.catalogue import Catalogue, Entry
from genlab.engine import Engine
from genlab.networks.toybox_judge import ToyboxJudge
from genlab.requests import StableDiffusionRequest, UserError, ask
from genlab.training.evaluation import draw, joined
from genlab.training.toybox.adherence import measure
from genlab.world import World

PROMPTS = 200


def evaluate_toybox(
    entry: Entry, catalogue: Catalogue, engine: Engine, count: int | None = None
) -> dict[str, Any]:
    """Measure a Stable Diffusion checkpoint whose world has a judge.

    Args:
        entry: the checkpoint.
        catalogue, engine: where it and its judge are served.
        count: number of prompts of each kind; None for `PROMPTS`.

    Raises:
        UserError: if nothing can judge its prompts.
    """
    count = count or PROMPTS
    world_file, judge_folder = entry.folder / "world.json", catalogue.root / "toybox-judge"
    if not world_file.is_file() or not judge_folder.is_dir():
        raise UserError(f"{entry.name} cannot be measured: only Toybox's prompts have a judge.")
    judge = ToyboxJudge.from_pretrained(judge_folder).eval()
    drawn: list[np.ndarray] = []

    def sample(prompts: Iterable[str]) -> torch.Tensor:
        requests = (
            ask(StableDiffusionRequest, checkpoint=entry.name, prompt=prompt, seed=k, count=1)
            for k, prompt in enumerate(prompts)
        )
        images, _ = joined(draw(engine, requests))
        drawn.append(images)
        return torch.from_numpy(images).permute(0, 3, 1, 2)

    world = World.load(world_file)
    seen = measure(sample, judge, world, count=count)
    unseen = measure(sample, judge, world, count=count, held_out=True)
    figures = {f"adherence_{key}": value for key, value in seen.items()}
    figures |= {f"held_out_{key}": value for key, value in unseen.items()}
    return figures | {"samples": count, "sharpness": metrics.sharpness(drawn[0])}
