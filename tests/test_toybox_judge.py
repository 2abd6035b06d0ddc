"""Toybox's judge: where it looks, and the family that serves it, on a tiny untrained network."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from genlab.engine import Engine, Runtime
from genlab.formats.model_card import write_card
from genlab.images import to_tensor
from genlab.models.registry import Catalogue
from genlab.requests import ReadRequest, UserError, ask
from genlab.toybox.checkable_prompts import checkable_scenes, prompt_for, shares
from genlab.toybox.composer import Composer, Glyphs, to_network
from genlab.toybox.judge.network import (
    ToyboxJudge,
    background,
    cleaned,
    crop,
    ink,
    spreads_sideways,
)
from genlab.toybox.judge.train import any_scenes, one_each
from genlab.toybox.world import World

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


def run(root: Path, **values: object) -> dict:
    engine = Engine(Catalogue(root, Runtime("cpu")))
    job = engine.submit(ask(ReadRequest, checkpoint="judge", **values))
    while engine.tick():
        pass
    return job.result().extras


def test_the_judge_names_what_its_network_finds_most_probable(root: Path):
    pictures = np.random.default_rng(0).integers(0, 255, (5, 64, 64, 3), dtype=np.uint8)
    extras = run(root, images=pictures)
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
    extras = run(root, images=pictures.permute(0, 2, 3, 1).numpy(), objects=2)
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
        known = {(o.colour, o.noun) in world.held_out for s in scenes for o in s.objects}
        assert known == {held_out}


def test_shares_count_what_is_as_asked(world: World):
    asked = checkable_scenes(world, 40, objects=2)
    assert set(shares(asked, asked).values()) == {1.0}
    half = [*asked[:20], *asked[:20]]
    assert shares(asked, half)["all"] == 0.5


def test_pictures_of_another_size_are_refused(root: Path):
    digits = np.zeros((2, 28, 28), np.uint8)
    with pytest.raises(UserError, match="takes 64 x 64 x 3 pictures, not 28 x 28"):
        Catalogue(root, Runtime("cpu")).check(ask(ReadRequest, checkpoint="judge", images=digits))
