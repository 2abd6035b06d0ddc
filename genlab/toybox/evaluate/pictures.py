"""Pictures of scenes, drawn by a checkpoint or composed of real ones, and what the judge reads."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from genlab.engine import Engine
from genlab.evaluation.sampling import draw, joined
from genlab.models.registry import Entry
from genlab.requests import ReadRequest, StableDiffusionRequest, ask
from genlab.toybox.checkable_prompts import prompt_for
from genlab.toybox.composer import Composer
from genlab.toybox.prompt_adherence import scenes_read
from genlab.toybox.world import Scene


def draw_scenes(
    engine: Engine, entry: Entry, scenes: Sequence[Scene], **settings: Any
) -> np.ndarray:
    """A picture for each scene's plainest prompt, uint8 (N, 64, 64, 3); picture k is of seed k."""
    requests = (
        ask(
            StableDiffusionRequest,
            checkpoint=entry.name,
            prompt=prompt_for(scene),
            seed=k,
            count=1,
            **settings,
        )
        for k, scene in enumerate(scenes)
    )
    return joined(draw(engine, requests))[0]


def compose(composer: Composer, scenes: Sequence[Scene], seed: int = 0) -> np.ndarray:
    """A composite of each scene, uint8 (N, 64, 64, 3)."""
    rng = random.Random(seed)
    parts = [composer.compose(scenes[at : at + 500], rng) for at in range(0, len(scenes), 500)]
    return torch.cat(parts).permute(0, 2, 3, 1).cpu().numpy()


def read_pictures(
    engine: Engine, judge: str, pictures: np.ndarray, scenes: Sequence[Scene]
) -> tuple[list[Scene], np.ndarray]:
    """What the judge sees in a picture of each scene, and its features (N, D)."""
    objects = len(scenes[0].objects)
    requests = (
        ask(ReadRequest, checkpoint=judge, images=part, objects=objects)
        for part in np.array_split(pictures, max(1, len(pictures) // 500))
    )
    results = list(draw(engine, requests))
    read = [scene for result in results for scene in scenes_read(result.extras)]
    return read, np.concatenate([result.extras["features"] for result in results])
