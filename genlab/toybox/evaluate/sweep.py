"""Finds the scheduler and the guidance scale at which Toybox follows its prompts best.

Knows no driver: it is handed whatever takes requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genlab.diffusion.schedulers import scheduler_names
from genlab.evaluation.sampling import SampleClient
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.formats.metadata import ModelMetadata
from genlab.requests import parse_request
from genlab.toybox.checkable_prompts import checkable_scenes, shares
from genlab.toybox.evaluate.pictures import draw_scenes, read_pictures
from genlab.toybox.world import World

SCALES = (3.0, 4.0, 5.5)
FINALISTS = 4
MORE = 4
"""Times as many prompts for the finalists as for all."""
SEED = 1
"""Of the prompts tried: others than those measured afterwards, so that luck does not choose."""


def try_settings(
    client: SampleClient, metadata: ModelMetadata, world: World, judge: str, count: int
) -> list[dict[str, Any]]:
    """Adherence by scheduler and scale: all pairs with few prompts, the best ones with more.

    One round of successive halving. Source: Jamieson & Talwalkar, "Non-stochastic Best Arm
    Identification and Hyperparameter Optimization", 2016 (arXiv:1502.07943).

    Args:
        client: draws and judges.
        metadata: of the checkpoint, drawn from at its default number of steps.
        world: what can be asked for.
        judge: name of the checkpoint that reads the pictures.
        count: prompts of one object, and as many of two, for each pair of the first round.

    Returns:
        A row for each pair and round: ``num_inference_steps``, ``scheduler``, ``guidance_scale``,
        ``prompts`` of each kind, and ``one`` and ``two``, the shares of pictures with everything
        right.
    """
    defaults = {**metadata.defaults, "checkpoint": metadata.name}
    steps = parse_request(StableDiffusionRequest, **defaults).num_inference_steps

    def tried(scheduler: str, scale: float, prompts: int) -> dict[str, Any]:
        settings = {
            "num_inference_steps": steps,
            "scheduler": scheduler,
            "guidance_scale": scale,
        }
        row: dict[str, Any] = settings | {"prompts": prompts}
        for kind, objects in (("one", 1), ("two", 2)):
            scenes = checkable_scenes(world, prompts, SEED, objects)
            pictures = draw_scenes(client, metadata.name, scenes, **settings)
            seen, _ = read_pictures(client, judge, pictures, scenes)
            row[kind] = shares(scenes, seen)["all"]
        return row

    rows = [tried(name, scale, count) for name in scheduler_names() for scale in SCALES]
    finalists = sorted(rows, key=_as_prompted, reverse=True)[:FINALISTS]
    return rows + [tried(r["scheduler"], r["guidance_scale"], MORE * count) for r in finalists]


def best_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The settings of the row in which most of both kinds of prompts were followed, last round."""
    most = max(row["prompts"] for row in rows)
    best = max((row for row in rows if row["prompts"] == most), key=_as_prompted)
    return {key: best[key] for key in ("num_inference_steps", "scheduler", "guidance_scale")}


def _as_prompted(row: dict[str, Any]) -> float:
    return row["one"] + row["two"]
