"""What a judge read, compared with what a prompt asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from genlab.toybox.prompt_adherence import fulfilled, said, scenes_read
from genlab.toybox.world import Scene, SceneObject, World

CHECKPOINT = Path(__file__).parents[1] / "checkpoints" / "stable-diffusion-toybox"


@pytest.fixture(scope="module")
def world() -> World:
    return World.load(CHECKPOINT)


def shown(first: tuple[str, str], second: tuple[str, str], places: tuple[str, str]) -> Scene:
    """A picture of two (colour, noun) on black."""
    items = zip((first, second), places, strict=True)
    things = [SceneObject(noun, colour, place=place) for (colour, noun), place in items]
    return Scene(tuple(things), "black")


ACROSS, UPRIGHT = ("left of", "right of"), ("above", "below")


def test_extras_become_one_scene_a_picture():
    extras = {
        "nouns": [("7",), ("bag",)],
        "colours": [("red",), ("pink",)],
        "places": [(None,), (None,)],
        "backgrounds": ["blue", "black"],
    }
    assert [said(scene) for scene in scenes_read(extras)] == ["red 7 on blue", "pink bag on black"]


def test_two_objects_are_as_asked_whichever_is_named_first(world: World):
    read = shown(("red", "7"), ("green", "bag"), ACROSS)
    assert said(read) == "red 7 left of green bag on black"
    for prompt in (
        "a red 7 left of a green bag on a black background",
        "a green bag to the right of a red 7 on black",
        "a green bag and a 7",
    ):
        asked = world.parse(prompt)
        assert asked is not None
        assert all(fulfilled(asked, read).values()), prompt


def test_right_objects_in_the_wrong_places_fail_by_place_alone(world: World):
    asked = world.parse("a red 7 left of a green bag on a black background")
    assert asked is not None
    wrong = {"class": True, "colour": True, "background": True, "place": False}
    assert fulfilled(asked, shown(("green", "bag"), ("red", "7"), ACROSS)) == wrong
    assert fulfilled(asked, shown(("red", "7"), ("green", "bag"), UPRIGHT)) == wrong


def test_swapped_colours_fail_by_colour(world: World):
    asked = world.parse("a red 7 above a green bag")
    assert asked is not None
    wishes = fulfilled(asked, shown(("green", "7"), ("red", "bag"), UPRIGHT))
    assert wishes == {"class": True, "colour": False, "place": True}


def test_two_alike_are_told_apart_by_their_places(world: World):
    asked = world.parse("a red 7 right of a red 7")
    assert asked is not None
    assert all(fulfilled(asked, shown(("red", "7"), ("red", "7"), ACROSS)).values())


def test_what_a_prompt_leaves_open_is_no_wish(world: World):
    asked = world.parse("a sneaker")
    assert asked is not None
    read = Scene((SceneObject("sneaker", "pink"),), "white")
    assert fulfilled(asked, read) == {"class": True}
