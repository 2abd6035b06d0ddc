"""What a judge read off pictures, against what their prompts asked for. No tensor, no page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genlab.toybox.world import Scene, SceneObject


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


def fulfilled(asked: Scene, read: Scene) -> dict[str, bool]:
    """Which wishes a picture fulfils: "class", "colour", "background", "place", where asked for.

    Of two objects, each wish is fulfilled only if both are as asked. Which read object stands for
    which asked one is decided in the picture's favour: by nouns and colours first, then by places.

    Args:
        asked: what the prompt says.
        read: what the picture shows; as many objects.
    """
    orders = [read.objects, read.objects[::-1]]
    there = max(orders, key=lambda order: _matches(asked.objects, order))
    pairs = list(zip(asked.objects, there, strict=True))
    wishes = {"class": all(a.noun == r.noun for a, r in pairs)}
    if any(a.colour for a, _ in pairs):
        wishes["colour"] = all(a.colour in (None, r.colour) for a, r in pairs)
    if asked.background is not None:
        wishes["background"] = asked.background == read.background
    if any(a.place for a, _ in pairs):
        wishes["place"] = all(a.place in (None, r.place) for a, r in pairs)
    return wishes


def said(scene: Scene) -> str:
    """A scene in a few words: "red 7 left of green bag on blue"."""
    things = [f"{item.colour} {item.noun}" for item in scene.objects]
    return f" {scene.objects[0].place or 'and'} ".join(things) + f" on {scene.background}"


def _matches(asked: Sequence[SceneObject], read: Sequence[SceneObject]) -> tuple[int, int]:
    """How many nouns and colours, and how many places, are as asked."""
    pairs = list(zip(asked, read, strict=True))
    names = sum((a.noun == r.noun) + (a.colour in (None, r.colour)) for a, r in pairs)
    return names, sum(a.place in (None, r.place) for a, r in pairs)
