"""The composer paints what a scene says, where it says it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from genlab.toybox.composer import GLYPH, Composer, Glyphs, to_network
from genlab.toybox.train.common import GARMENT_CLASSIFIER, clearest
from genlab.toybox.world import Scene, SceneObject, World

CHECKPOINT = Path(__file__).parents[1] / "checkpoints" / "stable-diffusion-toybox"


@pytest.fixture(scope="module")
def world() -> World:
    return World.load(CHECKPOINT)


@pytest.fixture(scope="module")
def composer(world: World) -> Composer:
    """Digits are filled 20x20 squares, garments filled 28x28 ones; two of each class."""
    labels = torch.arange(10).repeat(2)
    digits = torch.zeros(20, GLYPH, GLYPH, dtype=torch.uint8)
    digits[:, 4:24, 4:24] = 255
    garments = torch.full((20, GLYPH, GLYPH), 255, dtype=torch.uint8)
    return Composer(world, {"mnist": Glyphs(digits, labels), "fashion": Glyphs(garments, labels)})


def test_the_clearest_garments_are_those_that_the_classifier_is_sure_of() -> None:
    real = load_file(GARMENT_CLASSIFIER / "examples.safetensors")
    images, labels = real["images"], real["labels"].long()
    mixed = images // 2 + images.flip(0) // 2  # two garments in one picture
    both = Glyphs(torch.cat([mixed, images]), torch.cat([labels, labels]))
    kept = clearest(both, GARMENT_CLASSIFIER, 0.5)
    assert torch.equal(kept.labels.bincount(), labels.bincount())
    originals = {picture.numpy().tobytes() for picture in images}
    share = sum(p.numpy().tobytes() in originals for p in kept.images) / len(kept.images)
    assert share > 0.8
    whole = clearest(both, GARMENT_CLASSIFIER, 1.0)
    assert torch.equal(whole.images, both.images), "all of them, in their order"


def pixel(images: Tensor, x: int, y: int) -> tuple[int, ...]:
    return tuple(images[0, :, y, x].tolist())


def object_box(image: Tensor) -> tuple[int, int, int, int]:
    """Left, top, width and height of what differs from the corner pixel."""
    rows, columns = (image != image[:, :1, :1]).any(dim=0).nonzero().unbind(dim=1)
    left, top = int(columns.min()), int(rows.min())
    return left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1


def test_an_object_has_its_colour_on_its_background(world: World, composer: Composer) -> None:
    scene = Scene((SceneObject("7", "red"),), "blue")
    images = composer.compose([scene], random.Random(0))
    assert images.shape == (1, 3, 64, 64)
    assert images.dtype == torch.uint8
    assert pixel(images, 0, 0) == world.backgrounds["blue"]
    assert pixel(images, 32, 32) == world.colours["red"]


@pytest.mark.parametrize("noun", ["3", "bag"])
@pytest.mark.parametrize("size", ["small", "medium", "large"])
def test_an_object_is_as_large_as_the_world_says(
    world: World, composer: Composer, noun: str, size: str
) -> None:
    low, high = world.sizes[size]
    for seed in range(20):
        scene = Scene((SceneObject(noun, "white", size),), "black")
        _, _, width, height = object_box(composer.compose([scene], random.Random(seed))[0])
        assert low - 1 <= width <= high + 3  # the edge is blended over a pixel or two
        assert low - 1 <= height <= high + 3


@pytest.mark.parametrize(
    ("place", "first", "second"),
    [
        ("left of", (16, 32), (48, 32)),
        ("right of", (48, 32), (16, 32)),
        ("above", (32, 16), (32, 48)),
        ("below", (32, 48), (32, 16)),
    ],
)
def test_two_objects_stand_where_they_should(
    world: World,
    composer: Composer,
    place: str,
    first: tuple[int, int],
    second: tuple[int, int],
) -> None:
    opposite = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
    objects = (
        SceneObject("1", "red", place=place),
        SceneObject("coat", "green", place=opposite[place]),
    )
    images = composer.compose([Scene(objects, "black")], random.Random(0))
    assert pixel(images, *first) == world.colours["red"]
    assert pixel(images, *second) == world.colours["green"]


def test_open_attributes_are_drawn_from_the_world(world: World, composer: Composer) -> None:
    scenes = [Scene((SceneObject("5"),))] * 60
    images = composer.compose(scenes, random.Random(0))
    backgrounds = {tuple(image[:, 0, 0].tolist()) for image in images}
    assert backgrounds <= set(world.backgrounds.values())
    assert len(backgrounds) > 4
    assert all(object_box(image)[2] > 30 for image in images)  # never invisible


def test_the_same_random_state_gives_the_same_pictures(world: World, composer: Composer) -> None:
    scenes = [world.sample_scene(random.Random(n), two_objects=0.5) for n in range(8)]
    once = composer.compose(scenes, random.Random(1))
    assert torch.equal(once, composer.compose(scenes, random.Random(1)))
    assert not torch.equal(once, composer.compose(scenes, random.Random(2)))


def test_networks_see_pictures_between_minus_one_and_one() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8)
    assert to_network(images).tolist() == [-1.0, 1.0]


def test_a_noun_without_a_picture_is_refused(world: World) -> None:
    none = Glyphs(
        torch.zeros(1, GLYPH, GLYPH, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64)
    )
    with pytest.raises(ValueError, match="no mnist picture draws '1'"):
        Composer(world, {"mnist": none, "fashion": none})
