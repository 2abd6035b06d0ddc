"""Whether pictures show what their prompt asked for, as Toybox's judge reads them. No tensor."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from genlab.evaluation.metrics import diversity
from genlab.models.registry import Catalogue, Entry
from genlab.requests import ClassifyRequest, ReadRequest, Request, StableDiffusionRequest, ask
from genlab.toybox.prompt_adherence import fulfilled, said, scenes_read
from genlab.toybox.world import Scene, World


def world_of(entry: Entry) -> World | None:
    """What a checkpoint's prompts can say, if it was trained on a world of that kind."""
    path = entry.folder / "world.json"
    return _load(path) if path.is_file() else None


def scene_of(entry: Entry, request: Request) -> Scene | None:
    """The one or two objects that a prompt asks for, if it speaks of a known world."""
    world = world_of(entry)
    if world is None or not isinstance(request, StableDiffusionRequest):
        return None
    return world.parse(request.prompt)


def reader(catalogue: Catalogue, dataset: str) -> Entry | None:
    """The judge that reads a world's pictures, if it is there."""
    return next((e for e in catalogue.of_family("judge") if e.dataset == dataset), None)


def question(judge: Entry, images: np.ndarray, scene: Scene | None) -> Request:
    """What to ask a judge about pictures: what they show of a scene, or their classes."""
    if scene is None:
        return ask(ClassifyRequest, checkpoint=judge.name, images=images)
    return ask(ReadRequest, checkpoint=judge.name, images=images, objects=len(scene.objects))


def obedience(scene: Scene, verdict: Mapping[str, Any]) -> dict[str, Any]:
    """What was read in each picture, and how far the pictures are as asked.

    Args:
        scene: one or two objects.
        verdict: the judge's extras.

    Returns:
        ``read``, a text a picture; ``as_asked_percent``, the share of pictures whose class, colour,
        background and place are as asked, where asked for; ``all_as_asked_percent``, that of
        pictures with everything as asked; and, for two pictures or more, their ``diversity``.
    """
    shown = scenes_read(verdict)
    wishes = [fulfilled(scene, read) for read in shown]

    def percent(answers: list[bool]) -> float:
        return round(100 * sum(answers) / len(answers), 1)

    figures: dict[str, Any] = {
        "read": [said(read) for read in shown],
        "as_asked_percent": {what: percent([w[what] for w in wishes]) for what in wishes[0]},
        "all_as_asked_percent": percent([all(w.values()) for w in wishes]),
    }
    if len(shown) > 1:
        figures["diversity"] = round(diversity(verdict["features"]), 4)
    return figures


@lru_cache(maxsize=8)
def _load(path: Path) -> World:
    return World.load(path)
