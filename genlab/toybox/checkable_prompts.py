"""Prompts that a judge can check, and the shares of pictures that follow them. No torch.

Knows no pipeline and no engine.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from genlab.toybox.prompt_adherence import fulfilled
from genlab.toybox.world import OPPOSITE, Scene, SceneObject, World

QUESTIONS = ("class", "colour", "background", "place")


def checkable_scenes(
    world: World, count: int, seed: int = 0, objects: int = 1, held_out: bool = False
) -> list[Scene]:
    """Scenes of medium objects with every attribute given, that go round the nouns.

    Args:
        world: what can be asked for.
        count: number of scenes.
        seed: of what the scenes don't go round.
        objects: one or two in each.
        held_out: only colour-noun pairs that training never saw together; else only others.
    """
    rng = random.Random(seed)
    nouns, pairs = list(world.nouns), sorted(world.held_out)
    scenes = []
    for number in range(count):
        background = rng.choice(list(world.backgrounds))
        if held_out:
            colour, noun = pairs[number % len(pairs)]
            background = rng.choice([b for b in world.backgrounds if b != colour])
            scenes.append(Scene((SceneObject(noun, colour),), background))
            continue
        named = [nouns[number % len(nouns)]]
        named += [rng.choice(nouns) for _ in range(objects - 1)]
        place = rng.choice(world.places)
        places = (place, OPPOSITE[place]) if objects == 2 else (None,)
        things = [
            SceneObject(noun, rng.choice(_colours(world, noun, background)), place=place)
            for noun, place in zip(named, places, strict=True)
        ]
        scenes.append(Scene(tuple(things), background))
    return scenes


def prompt_for(scene: Scene) -> str:
    """The plainest words for a scene: "a red 7 left of a green bag on a blue background"."""
    things = [f"a {item.colour} {item.noun}" for item in scene.objects]
    return f" {scene.objects[0].place} ".join(things) + f" on a {scene.background} background"


def shares(prompts: Sequence[Scene], pictures: Sequence[Scene]) -> dict[str, float]:
    """Shares of pictures that show what was asked for.

    Args:
        prompts: the scenes asked for, each of as many objects.
        pictures: the scenes that a judge read, one each.

    Returns:
        Shares in 0..1: "class", "colour", "background" and, for two objects, "place"; "all" of
        them; for one object also "digits" and "garments", the share of right classes of each kind.
    """
    met = [fulfilled(a, b) for a, b in zip(prompts, pictures, strict=True)]
    result = {
        question: _mean([m[question] for m in met]) for question in QUESTIONS if question in met[0]
    }
    result["all"] = _mean([all(m.values()) for m in met])
    if len(prompts[0].objects) == 1:
        for kind, is_digit in (("digits", True), ("garments", False)):
            right = [
                m["class"]
                for scene, m in zip(prompts, met, strict=True)
                if scene.objects[0].noun.isdigit() == is_digit
            ]
            if right:
                result[kind] = _mean(right)
    return result


def _colours(world: World, noun: str, background: str) -> list[str]:
    """Colours that training showed this noun in, on this background."""
    return [c for c in world.colours if c != background and (c, noun) not in world.held_out]


def _mean(answers: Sequence[bool]) -> float:
    return sum(answers) / len(answers)
