"""MNIST and Fashion-MNIST as plain tensors, and endless shuffled minibatches. Knows no network."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torchvision import datasets

from genlab.requests import UserError
from genlab.settings import Settings

DatasetName = Literal["mnist", "fashion"]

CLASSES: dict[str, tuple[str, ...]] = {
    "mnist": tuple("0123456789"),
    "fashion": (
        "T-shirt",
        "trousers",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ),
}


def load_images(
    dataset: DatasetName, train: bool, root: Path | None = None, download: bool = True
) -> tuple[Tensor, Tensor]:
    """Read a whole dataset into memory, downloading it when it is not there.

    Args:
        root: torchvision root; None for the setting GENLAB_DATA, by default `data`.
        download: whether it may be.

    Returns:
        uint8 images (N, 28, 28), bright on black, and int64 labels (N,).

    Raises:
        UserError: if it is not there and the download fails.
    """
    kind = {"mnist": datasets.MNIST, "fashion": datasets.FashionMNIST}[dataset]
    root = root or Settings().data
    try:
        loaded = kind(str(root), train=train, download=False)
    except RuntimeError as missing:
        if not download:
            raise UserError(f"{kind.__name__} is not under {root}.") from missing
        try:
            loaded = kind(str(root), train=train, download=True)
        except Exception as error:
            raise UserError(
                f"{kind.__name__} is not under {root} and could not be downloaded: give its folder "
                "with --data or GENLAB_DATA."
            ) from error
    return loaded.data, loaded.targets.to(torch.int64)


def to_network(images: Tensor) -> Tensor:
    """uint8 images (B, 28, 28) to float (B, 1, 28, 28) in [-1, 1], as every network takes them."""
    return images.unsqueeze(1).float() / 127.5 - 1.0


def to_uint8(images: Tensor) -> Tensor:
    """Float images (B, 1, 28, 28) in [-1, 1] to uint8 (B, 28, 28), rounded and clipped."""
    return ((images.squeeze(1) + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)


class Minibatches:
    """Indices of shuffled minibatches as a function of the step: a resumed run sees the same ones.

    Each epoch is a fresh permutation drawn from `seed` and the epoch's number; a last incomplete
    batch is dropped.
    """

    def __init__(self, count: int, batch_size: int, seed: int = 0) -> None:
        if count < 1:
            raise ValueError("There are no images to train on.")
        self.batch_size = min(batch_size, count)
        self.per_epoch = count // self.batch_size
        self._count = count
        self._seed = seed
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def indices(self, step: int) -> Tensor:
        """Indices of the minibatch of this step, int64 (batch_size,)."""
        epoch, position = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(self._seed * 1_000_003 + epoch)
            self._order = torch.randperm(self._count, generator=generator)
            self._epoch = epoch
        return self._order[position * self.batch_size : (position + 1) * self.batch_size]
