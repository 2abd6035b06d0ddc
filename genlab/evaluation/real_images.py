"""The real pictures that a model's are measured against. Knows no family."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np

from genlab.formats.metadata import ModelMetadata
from genlab.requests import UserError
from genlab.training.data import DatasetName, load_images


def real_images(
    metadata: ModelMetadata, data: Path | None, train: bool, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The first images and labels of one half of a checkpoint's data set.

    Args:
        metadata: names the data set.
        data: torchvision root; None for the setting GENLAB_DATA.
        train: the training half; else the held-out one.
        count: at most so many.

    Returns:
        uint8 (N, 28, 28), bright on black, and int64 (N,).

    Raises:
        UserError: nobody knows the data set, or it is missing and cannot be downloaded.
    """
    for dataset in get_args(DatasetName):
        if dataset == metadata.dataset:
            images, labels = load_images(dataset, train=train, root=data)
            return images[:count].numpy(), labels[:count].numpy()
    raise UserError(f"{metadata.name} names the dataset {metadata.dataset!r}, which is not known.")
