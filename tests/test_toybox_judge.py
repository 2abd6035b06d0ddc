"""Toybox's judge: where it looks, and the family that serves it, on a tiny untrained network."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from genlab.engine.events import Result
from genlab.engine.tensors import to_tensor
from genlab.families.description import ColumnSettings
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.formats.metadata import ModelMetadata
from genlab.formats.model_card import write_card
from genlab.requests import UserError, parse_request
from genlab.toybox.checkable_prompts import checkable_scenes, prompt_for, shares
from genlab.toybox.composer import Composer, Glyphs, to_network
from genlab.toybox.judge import FAMILY, as_digits
from genlab.toybox.judge.layout import weight_shapes
from genlab.toybox.judge.network import (
    ToyboxJudge,
    background,
    cleaned,
    crop,
    ink,
    spreads_sideways,
)
from genlab.toybox.judge.request import ReadRequest
from genlab.toybox.judge.train import any_scenes, one_each
from genlab.toybox.world import World
from tests.drive import drive, metadata_of, opened

NOUNS = ["7", "sneaker", "bag"]
CHECKPOINT = Path(__file__).parents[1] / "checkpoints" / "stable-diffusion-toybox"


@pytest.fixture(scope="module")
def world() -> World:
    return World.load(CHECKPOINT)


@pytest.fixture(scope="module")
def composer(world: World) -> Composer:
    """Every glyph is a filled square as large as the ink of its data set."""
    digit, garment = torch.zeros(10, 28, 28), torch.full((10, 28, 28), 200)
    digit[:, 4:24, 4:24] = 255
    labels = torch.arange(10)
    glyphs = {"mnist": Glyphs(digit.byte(), labels), "fashion": Glyphs(garment.byte(), labels)}
    return Composer(world, glyphs)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    judge = ToyboxJudge(NOUNS, ["red", "blue"], ["black", "white"], (4, 4, 4, 4), features=8)
    judge.save_pretrained(root / "judge")
    write_card(root / "judge", "judge", "A tiny judge", "toybox", "For tests.")
    return root


def read(root: Path, **values: object) -> dict:
    """What the tiny judge reads in pictures."""
    request = parse_request(ReadRequest, checkpoint="judge", **values)
    return dict(drive(opened(FAMILY, root / "judge"), request)[0].extras)


def test_the_judge_names_what_its_network_finds_most_probable(root: Path):
    pictures = np.random.default_rng(0).integers(0, 255, (5, 64, 64, 3), dtype=np.uint8)
    extras = read(root, images=pictures)
    with torch.no_grad():
        judge = ToyboxJudge.from_pretrained(root / "judge").eval()
        verdict, features = judge(to_tensor(pictures)), judge.features(to_tensor(pictures))
    assert extras["confidence"] == pytest.approx(verdict.nouns.softmax(dim=1).amax(dim=1).numpy())
    assert extras["nouns"] == [(NOUNS[k],) for k in verdict.nouns.argmax(dim=1)]
    assert extras["places"] == [(None,)] * 5
    assert extras["features"] == pytest.approx(features.numpy(), abs=1e-5)


def test_two_objects_are_read_each_in_its_own_window(root: Path, world: World, composer: Composer):
    scenes = any_scenes(world, random.Random(1), 6, two_objects=True)
    pictures = composer.compose(scenes, random.Random(2))
    extras = read(root, images=pictures.permute(0, 2, 3, 1).numpy(), objects=2)
    judge = ToyboxJudge.from_pretrained(root / "judge").eval()
    for k, places in enumerate(extras["places"]):
        assert set(places) == {item.place for item in scenes[k].objects}
        with torch.no_grad():
            windows = torch.cat([crop(to_network(pictures[k : k + 1]), p) for p in places])
            nouns = judge(windows).nouns.argmax(dim=1)
        assert extras["nouns"][k] == tuple(NOUNS[n] for n in nouns)
    assert extras["features"].shape == (6, 16)


def test_how_two_objects_stand_is_seen_in_every_picture(world: World, composer: Composer):
    scenes = any_scenes(world, random.Random(3), 100, two_objects=True)
    sideways = spreads_sideways(to_network(composer.compose(scenes, random.Random(4))))
    assert sideways.tolist() == [s.objects[0].place in ("left of", "right of") for s in scenes]


def test_a_window_holds_its_object_and_not_the_other(world: World, composer: Composer):
    images, scenes = one_each(world, composer, random.Random(5), 64)
    assert images.shape == (64, 3, 64, 64)
    assert len(scenes) == 64
    for image, scene in zip(images, scenes, strict=True):
        colour, background = world.colours[scene.objects[0].colour or ""], scene.background or ""
        middle = (image[:, 28:36, 28:36].mean(dim=(1, 2)) + 1) * 127.5
        off = (middle - torch.tensor(colour)).abs().sum()
        assert off < (middle - torch.tensor(world.backgrounds[background])).abs().sum()


def test_ink_is_the_same_in_every_pair_of_colours(world: World, composer: Composer):
    prompts = ("a red 7 on a blue background", "a white 7 on a black background")
    scenes = [world.parse(prompt) for prompt in prompts]
    pictures = [to_network(composer.compose([s], random.Random(6))) for s in scenes if s]
    shapes = [ink(picture, background(picture)) for picture in pictures]
    assert torch.allclose(shapes[0], shapes[1], atol=0.02)


def test_faint_stains_are_not_seen_and_the_object_is(world: World, composer: Composer):
    scenes = any_scenes(world, random.Random(8), 20)
    images = to_network(composer.compose(scenes, random.Random(9)))
    stains = 0.02 * (2 * torch.rand(images.shape, generator=torch.Generator().manual_seed(0)) - 1)
    before, after = cleaned(images), cleaned(images + stains)
    empty = ink(images, background(images)) == 0
    assert after[:, 3:][empty].abs().max() == 0
    colours = after[:, :3].masked_fill(~empty, float("nan")).flatten(2)
    assert (colours - colours.nanmean(dim=2, keepdim=True)).nan_to_num().abs().max() < 1e-5
    assert (after - before).abs().max() < 0.2, "the object stays what it was"


def test_the_judge_is_taught_the_pairs_that_the_unet_never_sees(world: World):
    pairs = {
        (item.colour, item.noun)
        for scene in any_scenes(world, random.Random(7), 4000)
        for item in scene.objects
    }
    assert pairs >= world.held_out


def test_checkable_prompts_say_their_scenes(world: World):
    for objects, held_out in ((1, False), (2, False), (1, True)):
        scenes = checkable_scenes(world, 60, objects=objects, held_out=held_out)
        assert [world.parse(prompt_for(scene)) for scene in scenes] == scenes
        held_out_pairs = {(o.colour, o.noun) in world.held_out for s in scenes for o in s.objects}
        assert held_out_pairs == {held_out}


def test_shares_count_what_is_as_asked(world: World):
    scenes = checkable_scenes(world, 40, objects=2)
    assert set(shares(scenes, scenes).values()) == {1.0}
    half = [*scenes[:20], *scenes[:20]]
    assert shares(scenes, half)["all"] == 0.5


# --- the family -------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [{}, {"channels": (4, 8), "features": 6}], ids=str)
def test_the_layout_says_by_arithmetic_what_the_network_holds(extra: dict):
    config = {"nouns": NOUNS, "colours": ["red"], "backgrounds": ["black", "white"]}
    judge = ToyboxJudge(**config)
    if extra:
        extra = extra | {"channels": (*extra["channels"], 4, 4)}
        judge = ToyboxJudge(**config, **extra)
    shapes = {name: list(tensor.shape) for name, tensor in judge.state_dict().items()}
    assert weight_shapes(config | extra) == shapes


def test_pictures_of_another_size_are_refused(root: Path):
    digits = np.zeros((2, 28, 28), np.uint8)
    request = parse_request(ReadRequest, checkpoint="judge", images=digits)
    with pytest.raises(UserError, match="takes 64 x 64 x 3 pictures, not 28 x 28"):
        FAMILY.check_request(request, metadata_of(FAMILY, root / "judge"), lambda name: None)


def test_pictures_of_one_and_of_two_objects_share_no_call(root: Path):
    runner = opened(FAMILY, root / "judge")
    images = np.zeros((1, 64, 64, 3), np.uint8)
    one, two = (
        parse_request(ReadRequest, checkpoint="judge", images=images, objects=k) for k in (1, 2)
    )
    assert runner.batch_key(one) != runner.batch_key(two)
    assert len(drive(runner, one, two)[1].extras["nouns"][0]) == 2


# --- how it judges others ---------------------------------------------------------------------


def painter(**facts: object) -> ModelMetadata:
    """Who drew the pictures."""
    world = json.loads((CHECKPOINT / "world.json").read_text())
    every = {"world": world} | facts
    return ModelMetadata("tiny", CHECKPOINT, "stable_diffusion", "Tiny", "toybox", facts=every)


def drawn(prompt: str, count: int = 2, size: int = 64) -> tuple[StableDiffusionRequest, Result]:
    request = StableDiffusionRequest(checkpoint="tiny", prompt=prompt, count=count)
    return request, Result(np.zeros((count, size, size, 3), np.uint8))


def test_it_is_asked_for_as_many_objects_as_the_prompt_names(root: Path):
    judge = metadata_of(FAMILY, root / "judge")
    assert FAMILY.judge is not None
    for prompt, objects in (("a red 7", 1), ("a red 7 left of a green bag", 2)):
        request, result = drawn(prompt)
        question = FAMILY.judge.question(request, result, painter(), judge)
        assert isinstance(question, ReadRequest)
        assert (question.checkpoint, question.objects, question.count) == ("judge", objects, 2)


def test_it_cannot_judge_what_no_world_speaks_of_or_what_has_another_size(root: Path):
    judge = metadata_of(FAMILY, root / "judge")
    assert FAMILY.judge is not None
    for case in (drawn("a castle"), drawn("a red 7", size=512)):
        assert FAMILY.judge.question(*case, painter(), judge) is None
    assert FAMILY.judge.question(*drawn("a red 7"), painter(world=None), judge) is None


def test_its_figures_are_the_prompts_adherence_and_how_sure_it_is(root: Path):
    judge = metadata_of(FAMILY, root / "judge")
    request, result = drawn("a red 7 on a blue background")
    extras = {
        "nouns": [("7",), ("3",)],
        "colours": [("red",), ("red",)],
        "backgrounds": ["blue", "blue"],
        "places": [(None,), (None,)],
        "features": np.array([[0.0, 0.0], [3.0, 4.0]], np.float32),
        "confidence": np.array([0.9, 0.5], np.float32),
    }
    assert FAMILY.judge is not None
    answer = Result(result.images, extras)
    assert FAMILY.judge.figures(request, result, painter(), judge, answer) == {
        "read": ["red 7 on blue", "red 3 on blue"],
        "as_asked_percent": {"class": 50.0, "colour": 100.0, "background": 100.0},
        "all_as_asked_percent": 50.0,
        "diversity": 5.0,
        "mean_confidence": 0.7,
    }


# --- Toybox's column of the comparison --------------------------------------------------------


def test_toyboxs_column_asks_for_one_prompt_a_picture_with_the_seeds_in_turn():
    (column,) = FAMILY.columns
    assert column.requests is not None
    requests = column.requests(painter(), ColumnSettings(seed=8, count=3))
    assert [r.prompt for r in requests] == [
        f"a white {digit} on a black background" for digit in (8, 9, 0)
    ]
    assert [(r.seed, r.count) for r in requests] == [(8, 1), (9, 1), (10, 1)]
    assert column.remark(4) == "“a white 4 on a black background”"
    assert column.remark(None) == "“a white 0…9 on a black background”"


def test_what_the_judge_reads_as_no_digit_is_in_no_bar():
    nouns = ("3", "3", "7", "sneaker")
    parts = [
        {"read": [f"white {noun} on black"], "mean_confidence": sure}
        for noun, sure in zip(nouns, (1.0, 0.5, 0.5, 0.4), strict=True)
    ]
    figures = as_digits(parts)
    assert figures["class_histogram"]["3"] == 0.5
    assert sum(figures["class_histogram"].values()) == 0.75
    assert figures["classes_above_2_percent"] == 2
    assert figures["mean_confidence"] == 0.6
    assert as_digits([{"seconds": 1.0}]) == {}
