"""Whether pictures show what their prompt asked for, as Toybox's judge reads them. No tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from genlab.catalogue import Catalogue, Entry
from genlab.requests import Request, StableDiffusionRequest
from genlab.world import Scene, World


def world_of(entry: Entry) -> World | None:
    """What a checkpoint's prompts can say, if it was trained on a world of that kind."""
    path = entry.folder / "world.json"
    return _load(path) if path.is_file() else None


def scene_of(entry: Entry, request: Request) -> Scene | None:
    """What a prompt asks for, if it is one object of a known world: more the judge can't read."""
    world = world_of(entry)
    if world is None or not isinstance(request, StableDiffusionRequest):
        return None
    scene = world.parse(request.prompt)
    return scene if scene is not None and len(scene.objects) == 1 else None


def reader(catalogue: Catalogue, dataset: str) -> Entry | None:
    """The judge that reads a world's pictures, if it is there."""
    return next((e for e in catalogue.of_family("judge") if e.dataset == dataset), None)


def obedience(scene: Scene, verdict: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What was read in each picture, and the percentage of pictures as asked.

    Args:
        scene: one object.
        verdict: the judge's ``nouns``, ``colours`` and ``backgrounds``, one a picture.
    """
    thing = scene.objects[0]
    asked = {
        "class": (thing.noun, verdict["nouns"]),
        "colour": (thing.colour, verdict["colours"]),
        "background": (scene.background, verdict["backgrounds"]),
    }
    rows = zip(verdict["colours"], verdict["nouns"], verdict["backgrounds"], strict=True)
    return {
        "read": [f"{colour} {noun} on {background}" for colour, noun, background in rows],
        "as_asked_percent": {
            what: round(100 * sum(name == wanted for name in seen) / len(seen), 1)
            for what, (wanted, seen) in asked.items()
            if wanted is not None
        },
    }


@lru_cache(maxsize=8)
def _load(path: Path) -> World:
    return World.load(path)
