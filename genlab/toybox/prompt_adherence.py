"""How far pictures show what their prompts ask for, by what a judge reads in them.

Knows no page, no engine and no network; needs no torch until features are compared.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from genlab.formats.metadata import ModelMetadata
from genlab.requests import Request
from genlab.toybox.world import Scene, SceneObject, World


def world_of(metadata: ModelMetadata) -> World | None:
    """What a model's prompts can say, if it was trained on a world of that kind."""
    raw = metadata.facts.get("world")
    return None if raw is None else _world(json.dumps(raw))


def scene_of(metadata: ModelMetadata, request: Request) -> Scene | None:
    """The one or two objects that a request's prompt asks for, if it speaks of a known world."""
    world, prompt = world_of(metadata), getattr(request, "prompt", None)
    return None if world is None or prompt is None else world.parse(prompt)


def scenes_read(extras: Mapping[str, Any]) -> list[Scene]:
    """The scenes that a judge's extras tell of, one a picture.

    Args:
        extras: ``nouns``, ``colours`` and ``places``, K names a picture each (no places for one
            object), and ``backgrounds``, one name a picture.
    """
    pictures = zip(
        extras["nouns"], extras["colours"], extras["places"], extras["backgrounds"], strict=True
    )
    return [
        Scene(
            tuple(
                SceneObject(noun, colour, place=place)
                for noun, colour, place in zip(nouns, colours, places, strict=True)
            ),
            background,
        )
        for nouns, colours, places, background in pictures
    ]


def fulfilled(prompt: Scene, picture: Scene) -> dict[str, bool]:
    """Which of a prompt's demands a picture meets: "class", "colour", "background", "place".

    Only those that the prompt makes are there. Of two objects, each is met only if both are as
    asked. Which object of the picture stands for which of the prompt is decided in the picture's
    favour: by nouns and colours first, then by places.

    Args:
        prompt: what the prompt says.
        picture: what the picture shows; as many objects.
    """
    orders = [picture.objects, picture.objects[::-1]]
    best = max(orders, key=lambda order: _matches(prompt.objects, order))
    pairs = list(zip(prompt.objects, best, strict=True))
    met = {"class": all(wanted.noun == shown.noun for wanted, shown in pairs)}
    if any(wanted.colour for wanted, _ in pairs):
        met["colour"] = all(wanted.colour in (None, shown.colour) for wanted, shown in pairs)
    if prompt.background is not None:
        met["background"] = prompt.background == picture.background
    if any(wanted.place for wanted, _ in pairs):
        met["place"] = all(wanted.place in (None, shown.place) for wanted, shown in pairs)
    return met


def in_words(scene: Scene) -> str:
    """A scene in a few words: "red 7 left of green bag on blue"."""
    things = [f"{item.colour} {item.noun}" for item in scene.objects]
    return f" {scene.objects[0].place or 'and'} ".join(things) + f" on {scene.background}"


def adherence(scene: Scene, extras: Mapping[str, Any]) -> dict[str, Any]:
    """What was read in each picture, and how far the pictures are as asked.

    Args:
        scene: what the prompt asks for, one or two objects.
        extras: the judge's.

    Returns:
        ``read``, a text a picture; ``as_asked_percent``, the share of pictures whose class, colour,
        background and place are as asked, where asked for; ``all_as_asked_percent``, that of
        pictures with everything as asked; and, for two pictures or more, their ``diversity``.
    """
    pictures = scenes_read(extras)
    met = [fulfilled(scene, picture) for picture in pictures]

    def percent(answers: Sequence[bool]) -> float:
        return round(100 * sum(answers) / len(answers), 1)

    figures: dict[str, Any] = {
        "read": [in_words(picture) for picture in pictures],
        "as_asked_percent": {what: percent([m[what] for m in met]) for what in met[0]},
        "all_as_asked_percent": percent([all(m.values()) for m in met]),
    }
    if len(pictures) > 1:
        from genlab.evaluation.metrics import diversity  # needs torch

        figures["diversity"] = round(diversity(extras["features"]), 4)
    return figures


def _matches(prompt: Sequence[SceneObject], picture: Sequence[SceneObject]) -> tuple[int, int]:
    """How many nouns and colours, and how many places, are as asked."""
    pairs = list(zip(prompt, picture, strict=True))
    names = sum((p.noun == q.noun) + (p.colour in (None, q.colour)) for p, q in pairs)
    return names, sum(p.place in (None, q.place) for p, q in pairs)


@lru_cache(maxsize=8)
def _world(text: str) -> World:
    return World.from_plain(json.loads(text))
