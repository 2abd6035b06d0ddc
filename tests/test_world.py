"""What Toybox's prompts mean: reading, word help, and captions that say what they should."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from genlab.toybox.world import Scene, SceneObject, World

CHECKPOINT = Path(__file__).parents[1] / "checkpoints" / "stable-diffusion-toybox"


@pytest.fixture(scope="module")
def world() -> World:
    return World.load(CHECKPOINT)


def test_the_world_is_as_large_as_promised(world: World) -> None:
    assert len(world.colours) >= 8
    assert len(world.backgrounds) >= 8
    drawn = {(noun.dataset, noun.label) for noun in world.nouns.values()}
    assert drawn == {(dataset, label) for dataset in ("mnist", "fashion") for label in range(10)}


def test_reading_prompts_needs_no_torch() -> None:
    code = "import sys, genlab.toybox.world; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "prompt",
    [
        "a red 7 on a blue background",
        "A RED SEVEN on blue",
        "on a blue background, the red number 7",
        "red 7, blue background",
        "a 7 in red against a blue backdrop",
    ],
)
def test_one_object_is_understood_however_it_is_said(world: World, prompt: str) -> None:
    assert world.parse(prompt) == Scene((SceneObject("7", "red"),), "blue")


def test_two_objects_know_each_others_place(world: World) -> None:
    scene = world.parse("a green shoe to the left of a yellow 3 on black")
    assert scene == Scene(
        (
            SceneObject("sneaker", "green", place="left of"),
            SceneObject("3", "yellow", place="right of"),
        ),
        "black",
    )


def test_what_is_not_said_stays_open(world: World) -> None:
    assert world.parse("a sneaker") == Scene((SceneObject("sneaker"),))
    assert world.parse("a bag and a 4") == Scene((SceneObject("bag"), SceneObject("4")))


def test_size_is_understood(world: World) -> None:
    assert world.parse("a tiny pink t-shirt") == Scene((SceneObject("t-shirt", "pink", "small"),))


@pytest.mark.parametrize("prompt", ["", "blue", "a castle", "a 1 and a 2 and a 3"])
def test_a_prompt_without_one_or_two_known_nouns_means_nothing(world: World, prompt: str) -> None:
    assert world.parse(prompt) is None


def test_unknown_words_are_named_once_in_order(world: World) -> None:
    prompt = "a red Castle above a 7, beside a dragon and a castle"
    assert world.unknown_words(prompt) == ["castle", "dragon"]


@pytest.mark.parametrize(
    ("prompt", "unknown"),
    [
        ("a red 7 🦊", ["🦊"]),
        ("a 👩‍🚀 on a blue background", ["👩‍🚀"]),
        ("一只红色的靴子", ["一只红色的靴子"]),
        ("红色，7", ["红色"]),
        ("a red café, a naïve 7", ["café", "naïve"]),
        ("लाल हिन्दी", ["लाल", "हिन्दी"]),
        ("a “red” 7 – on a blue background…", []),
        ("to the left of a 🦊, sci-fi", ["🦊", "sci-fi"]),
    ],
)
def test_emoji_and_words_of_any_script_are_told_whole(
    world: World, prompt: str, unknown: list[str]
) -> None:
    assert world.unknown_words(prompt) == unknown


def test_known_prompts_have_no_unknown_words(world: World) -> None:
    rng = random.Random(1)
    for _ in range(300):
        caption = world.caption(world.sample_scene(rng, two_objects=0.5), rng)
        assert world.unknown_words(caption) == [], caption


def test_full_captions_say_the_whole_scene(world: World) -> None:
    rng = random.Random(2)
    for _ in range(500):
        scene = world.sample_scene(rng, two_objects=0.5)
        caption = world.caption(scene, rng, full=True)
        parsed = world.parse(caption)
        assert parsed is not None, caption
        assert set(parsed.objects) == set(scene.objects), caption
        assert parsed.background == scene.background, caption


def test_other_captions_never_say_what_is_not_there(world: World) -> None:
    rng = random.Random(3)
    for _ in range(500):
        scene = world.sample_scene(rng, two_objects=0.0)
        caption = world.caption(scene, rng)
        parsed = world.parse(caption)
        assert parsed is not None, caption
        assert parsed.objects[0].noun == scene.objects[0].noun, caption
        assert parsed.objects[0].colour in (None, scene.objects[0].colour), caption
        assert parsed.background in (None, scene.background), caption


def test_objects_are_never_painted_in_their_backgrounds_colour(world: World) -> None:
    rng = random.Random(4)
    for _ in range(500):
        scene = world.sample_scene(rng, two_objects=0.5)
        assert all(item.colour != scene.background for item in scene.objects)


def test_held_out_pairs_are_never_sampled(world: World) -> None:
    rng = random.Random(5)
    assert world.held_out
    for _ in range(2000):
        for item in world.sample_scene(rng, two_objects=0.3).objects:
            assert (item.colour, item.noun) not in world.held_out


def test_nouns_named_twice_come_up_three_times_as_often(world: World) -> None:
    rng = random.Random(6)
    often = ("shirt", "shirt")
    drawn = Counter(
        world.sample_scene(rng, two_objects=0.0, digits=0.4, often=often).objects[0].noun
        for _ in range(6000)
    )
    assert sum(count for noun, count in drawn.items() if noun.isdigit()) / 6000 == pytest.approx(
        0.4, abs=0.03
    )
    others = [drawn[noun] for noun in world.nouns if not noun.isdigit() and noun != "shirt"]
    assert drawn["shirt"] / (sum(others) / len(others)) == pytest.approx(3, abs=0.4)


def test_a_synonym_for_nothing_is_refused(tmp_path: Path) -> None:
    text = (CHECKPOINT / "world.json").read_text(encoding="utf-8")
    (tmp_path / "world.json").write_text(text.replace('"zero": "0"', '"zero": "nil"'))
    with pytest.raises(ValueError, match="'zero' stands for 'nil'"):
        World.load(tmp_path)
