"""What a judge reads in pictures, compared with what a prompt asks for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.families.vae.request import VAERequest
from genlab.formats.metadata import ModelMetadata
from genlab.toybox.prompt_adherence import (
    adherence,
    fulfilled,
    in_words,
    scene_of,
    scenes_read,
    world_of,
)
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
    assert [in_words(scene) for scene in scenes_read(extras)] == [
        "red 7 on blue",
        "pink bag on black",
    ]


def test_two_objects_are_as_asked_whichever_is_named_first(world: World):
    read = shown(("red", "7"), ("green", "bag"), ACROSS)
    assert in_words(read) == "red 7 left of green bag on black"
    for text in (
        "a red 7 left of a green bag on a black background",
        "a green bag to the right of a red 7 on black",
        "a green bag and a 7",
    ):
        prompt = world.parse(text)
        assert prompt is not None
        assert all(fulfilled(prompt, read).values()), text


def test_right_objects_in_the_wrong_places_fail_by_place_alone(world: World):
    prompt = world.parse("a red 7 left of a green bag on a black background")
    assert prompt is not None
    wrong = {"class": True, "colour": True, "background": True, "place": False}
    assert fulfilled(prompt, shown(("green", "bag"), ("red", "7"), ACROSS)) == wrong
    assert fulfilled(prompt, shown(("red", "7"), ("green", "bag"), UPRIGHT)) == wrong


def test_swapped_colours_fail_by_colour(world: World):
    prompt = world.parse("a red 7 above a green bag")
    assert prompt is not None
    met = fulfilled(prompt, shown(("green", "7"), ("red", "bag"), UPRIGHT))
    assert met == {"class": True, "colour": False, "place": True}


def test_two_alike_are_told_apart_by_their_places(world: World):
    prompt = world.parse("a red 7 right of a red 7")
    assert prompt is not None
    assert all(fulfilled(prompt, shown(("red", "7"), ("red", "7"), ACROSS)).values())


def test_what_a_prompt_leaves_open_is_not_demanded(world: World):
    prompt = world.parse("a sneaker")
    assert prompt is not None
    read = Scene((SceneObject("sneaker", "pink"),), "white")
    assert fulfilled(prompt, read) == {"class": True}


def test_adherence_counts_only_what_the_prompt_asked_for(world: World):
    scene = world.parse("a 7 on a blue background")
    assert scene is not None
    extras = {
        "nouns": [("7",), ("3",)],
        "colours": [("red",), ("red",)],
        "backgrounds": ["blue", "blue"],
        "places": [(None,), (None,)],
        "features": np.array([[0.0, 0.0], [3.0, 4.0]], np.float32),
    }
    figures = adherence(scene, extras)
    assert figures["read"][1] == "red 3 on blue"
    assert figures["as_asked_percent"] == {"class": 50.0, "background": 100.0}
    assert figures["all_as_asked_percent"] == 50.0
    assert figures["diversity"] == 5.0


def test_adherence_of_two_objects_tells_of_their_places(world: World):
    scene = world.parse("a red 7 above a bag on a blue background")
    assert scene is not None
    extras = {
        "nouns": [("bag", "7")],
        "colours": [("pink", "red")],
        "backgrounds": ["blue"],
        "places": [("above", "below")],
    }
    figures = adherence(scene, extras)
    assert figures["read"] == ["pink bag above red 7 on blue"]
    every = {"class": 100.0, "colour": 100.0, "background": 100.0, "place": 0.0}
    assert figures["as_asked_percent"] == every
    assert figures["all_as_asked_percent"] == 0.0
    assert "diversity" not in figures


def metadata(**facts: object) -> ModelMetadata:
    return ModelMetadata("tiny", Path("tiny"), "stable_diffusion", "Tiny", "toybox", facts=facts)


def test_a_models_world_is_built_from_its_facts_and_only_once(world: World):
    raw = json.loads((CHECKPOINT / "world.json").read_text())
    assert world_of(metadata(world=raw)) == world
    assert world_of(metadata(world=dict(raw))) is world_of(metadata(world=raw))
    assert world_of(metadata()) is None


def test_a_prompt_is_read_only_where_its_world_is_known():
    raw = json.loads((CHECKPOINT / "world.json").read_text())
    request = StableDiffusionRequest(checkpoint="tiny", prompt="a red 7 on black")
    assert scene_of(metadata(world=raw), request) == Scene((SceneObject("7", "red"),), "black")
    assert scene_of(metadata(), request) is None
    assert scene_of(metadata(world=raw), VAERequest(checkpoint="tiny")) is None
