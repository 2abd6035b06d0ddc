"""A classifier of noised digits, the one that classifier guidance follows. It knows no training."""

from __future__ import annotations

import torch
from diffusers.models.embeddings import get_timestep_embedding
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from genlab.families.noisy_classifier.layout import EMBEDDING


class NoisyClassifier(nn.Module, PyTorchModelHubMixin):
    """log p(y | x_t, t) for 28x28 grey images (Dhariwal & Nichol 2021, arXiv:2105.05233, sec. 4).

    Smooth activations: what guidance uses of it is its gradient.

    Args:
        channels: widths at 14x14 and 7x7.
        hidden: width of the fully connected layer, and of the embedding of t.
        num_classes: how many classes it tells apart.
    """

    def __init__(
        self, channels: tuple[int, int] = (32, 64), hidden: int = 128, num_classes: int = 10
    ) -> None:
        super().__init__()
        c1, c2 = channels
        self.time = nn.Sequential(nn.Linear(EMBEDDING, hidden), nn.SiLU())
        self.enter = nn.Conv2d(1, c1, 4, stride=2, padding=1)  # (B, c1, 14, 14)
        self.blocks = nn.ModuleList(
            [_Block(c1, c1, hidden), _Block(c1, c2, hidden, stride=2), _Block(c2, c2, hidden)]
        )
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(c2 * 7 * 7, hidden), nn.SiLU(), nn.Linear(hidden, num_classes)
        )

    def forward(self, x_t: Tensor, timesteps: Tensor) -> Tensor:
        """Logits (B, num_classes) of noised images (B, 1, 28, 28) at timesteps (B,) in 0..999."""
        time = self.time(get_timestep_embedding(timesteps, EMBEDDING).to(x_t.dtype))
        rows = self.enter(x_t)
        for block in self.blocks:
            rows = block(rows, time)
        return self.head(rows)


class _Block(nn.Module):
    """Group norm, scale and shift by t, SiLU, convolution; a residual one where shapes allow."""

    def __init__(self, before: int, after: int, time: int, stride: int = 1) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, before)
        self.modulate = nn.Linear(time, 2 * before)
        self.convolution = nn.Conv2d(before, after, 3, stride=stride, padding=1)
        self.residual = before == after and stride == 1

    def forward(self, rows: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.modulate(time)[:, :, None, None].chunk(2, dim=1)
        moved = torch.nn.functional.silu(self.norm(rows) * (1 + scale) + shift)
        moved = self.convolution(moved)
        return rows + moved if self.residual else moved
