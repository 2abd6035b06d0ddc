"""Pictures of scenes, drawn by a checkpoint or composed of real ones, and what the judge reads.

Knows no driver: it is handed whatever takes requests.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from genlab.evaluation.sampling import PART, SampleClient, draw, joined
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.requests import parse_request
from genlab.toybox.checkable_prompts import prompt_for
from genlab.toybox.composer import Composer
from genlab.toybox.judge.request import ReadRequest
from genlab.toybox.prompt_adherence import scenes_read
from genlab.toybox.world import Scene


def draw_scenes(
    client: SampleClient, checkpoint: str, scenes: Sequence[Scene], **settings: Any
) -> np.ndarray:
    """A picture for each scene's plainest prompt, uint8 (N, 64, 64, 3); picture k is of seed k."""
    requests = (
        parse_request(
            StableDiffusionRequest,
            checkpoint=checkpoint,
            prompt=prompt_for(scene),
            seed=k,
            count=1,
            **settings,
        )
        for k, scene in enumerate(scenes)
    )
    return joined(draw(client, requests))[0]


def compose(composer: Composer, scenes: Sequence[Scene], seed: int = 0) -> np.ndarray:
    """A composite of each scene, uint8 (N, 64, 64, 3)."""
    rng = random.Random(seed)
    parts = [composer.compose(scenes[at : at + 500], rng) for at in range(0, len(scenes), 500)]
    return torch.cat(parts).permute(0, 2, 3, 1).cpu().numpy()


def read_pictures(
    client: SampleClient, judge: str, pictures: np.ndarray, prompts: Sequence[Scene]
) -> tuple[list[Scene], np.ndarray]:
    """The scenes that the judge sees in a picture of each prompt's, and its features (N, D)."""
    objects = len(prompts[0].objects)
    parts = np.array_split(pictures, max(1, len(pictures) // PART))
    requests = (
        parse_request(ReadRequest, checkpoint=judge, images=part, objects=objects) for part in parts
    )
    results = list(draw(client, requests))
    scenes = [scene for result in results for scene in scenes_read(result.extras)]
    return scenes, np.concatenate([result.extras["features"] for result in results])
