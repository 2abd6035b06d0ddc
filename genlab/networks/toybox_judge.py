"""The network that checks Toybox's pictures: which object, colour and background; no training."""

from __future__ import annotations

from typing import NamedTuple

from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn


class Verdict(NamedTuple):
    """Logits for what one picture shows: nouns (B, 20), colours (B, 9), backgrounds (B, 8)."""

    nouns: Tensor
    colours: Tensor
    backgrounds: Tensor


class ToyboxJudge(nn.Module, PyTorchModelHubMixin):
    """Reads noun, colour and background off a 64x64 picture of one object.

    Args:
        nouns: names the first head tells apart, in its order.
        colours: names of object colours, in order.
        backgrounds: names of background colours, in order.
        channels: widths of the convolutions at 32x32, 16x16, 8x8 and 4x4.
    """

    def __init__(
        self,
        nouns: list[str],
        colours: list[str],
        backgrounds: list[str],
        channels: tuple[int, ...] = (24, 48, 96, 128),
    ) -> None:
        super().__init__()
        self.nouns, self.colours, self.backgrounds = nouns, colours, backgrounds
        layers: list[nn.Module] = []
        before = 3
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
        self.body = nn.Sequential(*layers, nn.Flatten())  # (B, channels[-1] * 16)
        self.dropout = nn.Dropout(0.2)
        self.heads = nn.ModuleList(
            nn.Linear(before * 16, len(names)) for names in (nouns, colours, backgrounds)
        )

    def forward(self, images: Tensor) -> Verdict:
        """Logits for pictures (B, 3, 64, 64) in [-1, 1]."""
        features = self.dropout(self.body(images))
        return Verdict(*(head(features) for head in self.heads))
