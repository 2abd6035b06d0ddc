"""A small convolutional classifier, also the feature network of MNIST-FID. It knows no training."""

from __future__ import annotations

from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn


class Classifier(nn.Module, PyTorchModelHubMixin):
    """Ten classes from 28x28 grey images.

    Args:
        channels: widths of the three convolutions, at 28x28, 14x14 and 7x7.
        feature_dim: width of the penultimate layer, the space that FID is measured in.
    """

    def __init__(
        self, channels: tuple[int, int, int] = (16, 32, 64), feature_dim: int = 128
    ) -> None:
        super().__init__()
        c1, c2, c3 = channels
        self.body = nn.Sequential(
            nn.Conv2d(1, c1, 3, padding=1, bias=False),
            nn.BatchNorm2d(c1),
            nn.MaxPool2d(2),  # before the ReLU: the same values, a quarter of the work
            nn.ReLU(),  # (B, c1, 14, 14)
            nn.Conv2d(c1, c2, 3, padding=1, bias=False),
            nn.BatchNorm2d(c2),
            nn.ReLU(),
            nn.MaxPool2d(2),  # (B, c2, 7, 7)
            nn.Conv2d(c2, c3, 3, padding=1, bias=False),
            nn.BatchNorm2d(c3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(c3 * 7 * 7, feature_dim, bias=False),
            nn.BatchNorm1d(feature_dim),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(feature_dim, 10)

    def features(self, images: Tensor) -> Tensor:
        """Penultimate activations (B, feature_dim) of images (B, 1, 28, 28) in [-1, 1]."""
        return self.body(images)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, 10) of images (B, 1, 28, 28) in [-1, 1]."""
        return self.head(self.dropout(self.features(images)))
