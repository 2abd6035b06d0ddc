"""The network that checks Toybox's pictures: which objects, colours, background; no training."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

WINDOW = 34
"""Side in pixels of the part of a 64x64 picture that holds one object of two."""
FAINT = 0.08
"""Up to this share of the strongest ink a pixel is background; from twice as much, all object."""
_OFF_CENTRE = 15  # how far each of two objects stands from the middle, in pixels


class Verdict(NamedTuple):
    """Logits for what one picture shows: nouns (B, 20), colours (B, 9), backgrounds (B, 8)."""

    nouns: Tensor
    colours: Tensor
    backgrounds: Tensor


class ScenePrediction(NamedTuple):
    """What pictures of K objects show; numbers count in the judge's lists of names.

    Attributes:
        nouns, colours: (B, K) int64; of two, the left or the upper one comes first.
        backgrounds: (B,) int64.
        side_by_side: (B,) bool; of two: left and right, not above and below.
        confidence: (B, K), the probability of each noun.
        features: (B, K * D), what the heads read.
    """

    nouns: Tensor
    colours: Tensor
    backgrounds: Tensor
    side_by_side: Tensor
    confidence: Tensor
    features: Tensor


class ToyboxJudge(nn.Module, PyTorchModelHubMixin):
    """Reads noun, colour and background off a 64x64 picture of one object.

    Besides the colours it sees how far each pixel is from the background's colour, so that a shape
    looks the same in every pair of colours; it does not see faint stains, see `cleaned`.

    Args:
        nouns: names the first head tells apart, in its order.
        colours: names of object colours, in order.
        backgrounds: names of background colours, in order.
        channels: widths of the convolutions at 32x32, 16x16, 8x8 and 4x4.
        features: width of the layer that the heads read.
    """

    def __init__(
        self,
        nouns: list[str],
        colours: list[str],
        backgrounds: list[str],
        channels: tuple[int, ...] = (16, 48, 96, 192),
        features: int = 128,
    ) -> None:
        super().__init__()
        self.nouns, self.colours, self.backgrounds = nouns, colours, backgrounds
        layers: list[nn.Module] = []
        before = 4
        for width in channels:
            layers += [
                nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            before = width
        self.body = nn.Sequential(
            *layers,
            nn.Flatten(),  # (B, channels[-1] * 16)
            nn.Dropout(0.2),
            nn.Linear(before * 16, features),
            nn.BatchNorm1d(features),
            nn.ReLU(),
        )
        self.heads = nn.ModuleList(
            nn.Linear(features, len(names)) for names in (nouns, colours, backgrounds)
        )

    def features(self, images: Tensor) -> Tensor:
        """What the heads read, (B, D), of pictures (B, 3, 64, 64) in [-1, 1]."""
        return self.body(cleaned(images))

    def forward(self, images: Tensor) -> Verdict:
        """Logits for pictures (B, 3, 64, 64) in [-1, 1] of one object each."""
        features = self.features(images)
        return Verdict(*(head(features) for head in self.heads))

    def read(self, images: Tensor, objects: int = 1) -> ScenePrediction:
        """What pictures (B, 3, 64, 64) in [-1, 1] of one or of two objects show.

        Of two objects each is read in a window of its own; how they stand is told by the axis along
        which the picture's ink spreads farther.
        """
        side_by_side = spreads_sideways(images)
        parts = [images]
        if objects == 2:
            across = [crop(images, place) for place in ("left of", "right of")]
            upright = [crop(images, place) for place in ("above", "below")]
            choose = side_by_side[:, None, None, None]
            parts = [torch.where(choose, a, b) for a, b in zip(across, upright, strict=True)]
        features = torch.stack([self.features(part) for part in parts], dim=1)  # (B, K, D)
        nouns, colours, backgrounds = (head(features) for head in self.heads)
        return ScenePrediction(
            nouns.argmax(dim=2),
            colours.argmax(dim=2),
            backgrounds.log_softmax(dim=2).sum(dim=1).argmax(dim=1),
            side_by_side,
            nouns.softmax(dim=2).amax(dim=2),
            features.flatten(1),
        )

    def named(self, prediction: ScenePrediction) -> dict[str, list[Any]]:
        """A prediction in words, an item a picture.

        Returns:
            `nouns`, `colours` and `places`, each a tuple of K words (the place of a single object
            is None), and `backgrounds`, each one word.
        """
        across, upright = ("left of", "right of"), ("above", "below")
        return {
            "nouns": [tuple(self.nouns[k] for k in row) for row in prediction.nouns.tolist()],
            "colours": [tuple(self.colours[k] for k in row) for row in prediction.colours.tolist()],
            "backgrounds": [self.backgrounds[k] for k in prediction.backgrounds.tolist()],
            "places": [
                (across if sideways else upright) if prediction.nouns.shape[1] == 2 else (None,)
                for sideways in prediction.side_by_side.tolist()
            ],
        }


def ink(images: Tensor, flat: Tensor) -> Tensor:
    """How much each pixel differs from the background's colour `flat`, see `background`.

    Returns:
        (B, 1, H, W) in [0, 1], 1 where it differs most.
    """
    change = (images - flat).abs().sum(dim=1, keepdim=True)
    return change / change.amax(dim=(2, 3), keepdim=True).clamp(min=1e-3)


def background(images: Tensor) -> Tensor:
    """The background's colour, (B, 3, 1, 1): the median of the four corners' 3x3 means.

    No object reaches three of them.
    """
    means = F.avg_pool2d(images, 3, stride=images.shape[-1] - 3)  # (B, 3, 2, 2)
    return means.flatten(2).median(dim=2).values[:, :, None, None]


def cleaned(images: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) and their ink, (B, 4, H, W), without the stains of a decoder.

    What differs from the background by less than `FAINT` of the most different pixel becomes
    background: to an eye it is none of the object, but a network trained on flat backgrounds
    takes it for one.
    """
    flat = background(images)
    mass = ink(images, flat)
    kept = ((mass - FAINT) / FAINT).clamp(0, 1)
    return torch.cat([flat + kept * (images - flat), kept * mass], dim=1)


def spreads_sideways(images: Tensor) -> Tensor:
    """Whether the ink of pictures (B, 3, H, W) varies more in x than in y, (B,) bool."""
    mass = ink(images, background(images))[:, 0]
    mass = mass * (mass > 0.2)  # a decoder's faint ripples are no ink
    total = mass.sum(dim=(1, 2)).clamp(min=1e-6)
    spread = []
    for axis in (1, 2):
        profile = mass.sum(dim=axis) / total[:, None]  # (B, side): over x, then over y
        at = torch.arange(profile.shape[1], device=images.device, dtype=profile.dtype)
        middle = (profile * at).sum(dim=1, keepdim=True)
        spread.append((profile * (at - middle).square()).sum(dim=1))
    return spread[0] > spread[1]


def crop(images: Tensor, place: str) -> Tensor:
    """The window of one place ("left of", "right of", "above", "below"), enlarged to the whole.

    Args:
        images: (B, 3, 64, 64) of two objects.
        place: where the object stands, seen from the other one.
    """
    side = images.shape[-1]
    dx, dy = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}[place]
    corner = (side - WINDOW) // 2
    x, y = corner + dx * _OFF_CENTRE, corner + dy * _OFF_CENTRE
    window = images[:, :, y : y + WINDOW, x : x + WINDOW]
    return F.interpolate(window, size=(side, side), mode="bilinear", align_corners=False)
