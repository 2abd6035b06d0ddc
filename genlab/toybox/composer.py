"""Draws Toybox's training pictures: tinted digits and garments on flat colours, many at a time.

Knows the world and two stacks of 28x28 glyphs; knows no network and no prompt.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from genlab.toybox.world import RGB, Scene, SceneObject, World

GLYPH = 28
_INK = {"mnist": 20 / GLYPH, "fashion": 1.0}  # MNIST digits fill 20 of 28 pixels, garments all
_OFFSET = {  # centre of an object seen from the picture's centre, as a share of its side
    None: (0.0, 0.0),
    "left of": (-0.24, 0.0),
    "right of": (0.24, 0.0),
    "above": (0.0, -0.24),
    "below": (0.0, 0.24),
}


@dataclass(frozen=True)
class Glyphs:
    """Grey pictures of one data set, bright on black.

    Attributes:
        images: (N, 28, 28) uint8.
        labels: (N,) int64.
    """

    images: Tensor
    labels: Tensor


class Composer:
    """Turns scenes into 64x64 RGB pictures."""

    def __init__(
        self,
        world: World,
        glyphs: Mapping[str, Glyphs],
        device: str | torch.device = "cpu",
    ) -> None:
        """Keep the glyphs on `device` and sort them by noun.

        Args:
            world: sizes, colours and nouns.
            glyphs: "mnist" and "fashion".
            device: where pictures are drawn.

        Raises:
            ValueError: a noun has no glyph.
        """
        self.world = world
        self.device = torch.device(device)
        self._stacks: dict[str, Tensor] = {}
        self._ids: dict[str, list[int]] = {}
        for noun, drawn_by in world.nouns.items():
            stack = glyphs[drawn_by.dataset]
            ids = (stack.labels == drawn_by.label).nonzero().flatten().tolist()
            if not ids:
                raise ValueError(f"no {drawn_by.dataset} picture draws '{noun}'")
            self._ids[noun] = ids
        start = 0
        self._start: dict[str, int] = {}
        for name in ("mnist", "fashion"):
            self._start[name] = start
            start += len(glyphs[name].images)
        self._glyphs = torch.cat([glyphs["mnist"].images, glyphs["fashion"].images]).to(self.device)

    def compose(self, scenes: Sequence[Scene], rng: random.Random) -> Tensor:
        """Draw every scene, with a random glyph, position and size within the world's limits.

        What a scene leaves open (colour, background, place) is drawn at random.

        Returns:
            (B, 3, 64, 64) uint8 on the composer's device.
        """
        side, rows = self.world.image_size, []
        backgrounds = []
        for number, scene in enumerate(scenes):
            background = scene.background or rng.choice(list(self.world.backgrounds))
            backgrounds.append(self.world.backgrounds[background])
            places = _places(scene, rng)
            for item, place in zip(scene.objects, places, strict=True):
                pair = len(scene.objects) > 1
                rows.append((number, *self._draw_row(item, place, background, pair, rng)))
        canvas = torch.tensor(backgrounds, dtype=torch.float32, device=self.device)
        canvas = canvas[:, :, None, None].repeat(1, 1, side, side)  # (B, 3, side, side)

        columns = [list(column) for column in zip(*rows, strict=True)]
        owner, glyph, garment, width, x, y, tint = columns
        alpha, shade = self._stamps(glyph, garment, width, x, y)  # both (K, 1, side, side)
        colour = torch.tensor(tint, dtype=torch.float32, device=self.device)[:, :, None, None]
        owners = torch.tensor(owner, device=self.device)
        # Two objects of one picture never overlap much, so adding both layers' changes is exact
        # wherever only one of them has ink.
        change = alpha * (colour * shade - canvas[owners])
        canvas.index_add_(0, owners, change)
        return canvas.clamp_(0, 255).round_().to(torch.uint8)

    def _draw_row(
        self, item: SceneObject, place: str | None, background: str, pair: bool, rng: random.Random
    ) -> tuple[int, bool, float, float, float, RGB]:
        """Glyph number, is it a garment, frame width, centre x and y in pixels, tint."""
        world = self.world
        dataset = world.nouns[item.noun].dataset
        low, high = world.pair_size if pair else world.sizes[item.size]
        ink = rng.uniform(low, high)
        jitter = world.jitter["two" if pair else "one"]
        dx, dy = _OFFSET[place]
        middle = world.image_size / 2
        x = middle + dx * world.image_size + rng.uniform(-jitter, jitter)
        y = middle + dy * world.image_size + rng.uniform(-jitter, jitter)
        colour = item.colour or rng.choice([c for c in world.colours if c != background])
        glyph = self._start[dataset] + rng.choice(self._ids[item.noun])
        return glyph, dataset == "fashion", ink / _INK[dataset], x, y, world.colours[colour]

    def _stamps(
        self,
        glyph: list[int],
        garment: list[bool],
        width: list[float],
        x: list[float],
        y: list[float],
    ) -> tuple[Tensor, Tensor]:
        """Opacity and brightness of each object on an empty picture, both (K, 1, side, side)."""
        side, device = self.world.image_size, self.device
        ink = self._glyphs[torch.tensor(glyph, device=device)].float().div_(255)[:, None]
        scale = side / torch.tensor(width, device=device)
        theta = torch.zeros(len(glyph), 2, 3, device=device)
        theta[:, 0, 0] = theta[:, 1, 1] = scale
        theta[:, 0, 2] = -scale * (torch.tensor(x, device=device) * 2 / side - 1)
        theta[:, 1, 2] = -scale * (torch.tensor(y, device=device) * 2 / side - 1)
        grid = F.affine_grid(theta, [len(glyph), 1, side, side], align_corners=False)
        ink = F.grid_sample(ink, grid, mode="bilinear", align_corners=False)
        is_garment = torch.tensor(garment, device=device)[:, None, None, None]
        # A digit is a stroke of one colour. A garment is a solid shape whose grey levels are its
        # folds, so its opacity saturates early and its brightness follows the grey.
        alpha = torch.where(is_garment, (ink * 5).clamp(max=1), (ink * 1.3).clamp(max=1))
        shade = torch.where(is_garment, 0.4 + 0.6 * ink, torch.ones_like(ink))
        return alpha, shade


def to_network(images: Tensor) -> Tensor:
    """uint8 pictures as the networks see them: float32 in [-1, 1]."""
    return images.float().div_(127.5).sub_(1)


def _places(scene: Scene, rng: random.Random) -> list[str | None]:
    if len(scene.objects) == 2 and scene.objects[0].place is None:
        return list(rng.choice([("left of", "right of"), ("above", "below")]))
    return [item.place for item in scene.objects]
