"""Finds the scheduler and the guidance scale at which Toybox obeys its prompts best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genlab.catalogue import Entry
from genlab.engine import Engine
from genlab.requests import SCHEDULERS, StableDiffusionRequest, ask
from genlab.training.toybox.adherence import checkable_scenes, shares
from genlab.training.toybox.scenes import draw_scenes, read_pictures
from genlab.world import World

SCALES = (2.0, 3.0, 4.0, 5.5, 7.5, 10.0)
SEED = 1
"""Of the prompts tried: others than those measured afterwards, so that luck does not choose."""


def try_settings(
    engine: Engine, entry: Entry, world: World, judge: str, count: int
) -> list[dict[str, Any]]:
    """Adherence against scale and scheduler, one after the other from the defaults on.

    First every scale with the default scheduler, then every scheduler at the best of them, then,
    if another scheduler is the best, every scale with that one.

    Args:
        engine: draws and judges.
        entry: the checkpoint, at its default number of steps.
        world: what can be asked for.
        judge: name of the checkpoint that reads the pictures.
        count: prompts of one object, and as many of two, for each setting.

    Returns:
        A row for each setting: ``num_inference_steps``, ``scheduler``, ``guidance_scale``, and
        ``one`` and ``two``, the shares of pictures with everything right.
    """
    asked = ask(StableDiffusionRequest, **entry.defaults | {"checkpoint": entry.name})
    kinds = {
        "one": checkable_scenes(world, count, SEED),
        "two": checkable_scenes(world, count, SEED, objects=2),
    }

    def tried(scheduler: str, scale: float) -> dict[str, Any]:
        settings = {
            "num_inference_steps": asked.num_inference_steps,
            "scheduler": scheduler,
            "guidance_scale": scale,
        }
        row: dict[str, Any] = dict(settings)
        for kind, scenes in kinds.items():
            pictures = draw_scenes(engine, entry, scenes, **settings)
            read, _ = read_pictures(engine, judge, pictures, scenes)
            row[kind] = shares(scenes, read)["all"]
        return row

    rows = [tried(asked.scheduler, scale) for scale in SCALES]
    scale = best_of(rows)["guidance_scale"]
    rows += [tried(name, scale) for name in SCHEDULERS if name != asked.scheduler]
    best = best_of(rows)["scheduler"]
    if best != asked.scheduler:
        rows += [tried(best, other) for other in SCALES if other != scale]
    return rows


def best_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The settings of the row in which most of both kinds of prompts were obeyed."""
    best = max(rows, key=lambda row: row["one"] + row["two"])
    return {key: value for key, value in best.items() if key not in ("one", "two")}
