"""What Toybox's CLIP keeps besides its text encoder: the image tower and the text's projection."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

WIDTH = 128


class ToyboxClip(nn.Module, PyTorchModelHubMixin):
    """Pictures and prompts in one space, where those that fit each other are close.

    The text tower itself is the pipeline's `CLIPTextModel`.
    Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
    2021 (arXiv:2103.00020).

    Args:
        channels: widths of the convolutions at 32x32, 16x16, 8x8 and 4x4.
        width: of the embeddings, and of the text tower.
    """

    def __init__(self, channels: tuple[int, ...] = (24, 48, 96, 128), width: int = WIDTH) -> None:
        super().__init__()
        self.text_projection = nn.Linear(width, width, bias=False)
        layers: list[nn.Module] = []
        for before, after in zip((3, *channels[:-1]), channels, strict=True):
            convolution = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(after), nn.ReLU()]
        self.image_tower = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * 16, width))
        self.log_temperature = nn.Parameter(torch.tensor(math.log(0.07)))

    def encode_text(self, pooled: Tensor) -> Tensor:
        """Embeddings (B, width) of the text tower's `pooler_output` (B, width), not normalised."""
        return self.text_projection(pooled)

    def encode_image(self, images: Tensor) -> Tensor:
        """Embeddings (B, width) of pictures (B, 3, 64, 64) in [-1, 1], not normalised."""
        return self.image_tower(images)

    def logits(self, texts: Tensor, images: Tensor) -> Tensor:
        """Cosines over the learnt temperature: (texts, images)."""
        # CLIP keeps the temperature above 0.01 for stability.
        temperature = self.log_temperature.exp().clamp(min=0.01)
        return F.normalize(texts, dim=-1) @ F.normalize(images, dim=-1).T / temperature
