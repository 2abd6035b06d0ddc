"""What can be measured about pictures: FID, classes, sharpness, diversity. Knows no model.

Only FID and diversity need torch, and import it when they are called.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def fid(features_a: ArrayLike, features_b: ArrayLike) -> float:
    """Frechet distance of Gaussians fitted to two sets of features (Heusel, 1706.08500, eq. 6).

    Args:
        features_a, features_b: (N, D) and (M, D), such as a classifier's penultimate activations.

    Returns:
        |mu_a - mu_b|^2 + Tr(C_a + C_b - 2 (C_a C_b)^(1/2)); 0 for equal Gaussians. It is biased
        upwards for small sets: compare values of the same N and M only.

    Raises:
        ValueError: for other shapes, or for fewer than two rows.
    """
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    a, b = (torch.from_numpy(np.asarray(f, dtype=np.float64)) for f in (features_a, features_b))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(
            f"FID needs two sets of at least two rows of equal width, not {tuple(a.shape)} "
            f"and {tuple(b.shape)}."
        )

    class Features(torch.nn.Identity):
        """Stands for Inception: the features are there already."""

        num_features = a.shape[1]

    metric = FrechetInceptionDistance(Features()).set_dtype(torch.float64)
    metric.update(a, real=True)
    metric.update(b, real=False)
    return max(0.0, float(metric.compute()))  # rounding may leave it a hair below zero


def class_histogram(probs: ArrayLike) -> np.ndarray:
    """Share of pictures whose most probable class is k, (K,), from probabilities (N, K)."""
    probs = np.asarray(probs)
    if probs.ndim != 2 or not len(probs):
        raise ValueError(f"Class probabilities must be (N, K) with N >= 1, not {probs.shape}.")
    return np.bincount(probs.argmax(axis=1), minlength=probs.shape[1]) / len(probs)


def class_entropy(histogram: ArrayLike) -> float:
    """Entropy of a class histogram in nats: ln K if every class is equally frequent, 0 for one."""
    shares = np.asarray(histogram, dtype=np.float64)
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum() + 0.0)


def classes_above(histogram: ArrayLike, share: float = 0.02) -> int:
    """How many classes have more than this share of the pictures: few after a mode collapse."""
    return int((np.asarray(histogram) > share).sum())


def confidence(probs: ArrayLike) -> float:
    """Mean probability of the most probable class, in [1/K, 1], from probabilities (N, K)."""
    return float(np.asarray(probs).max(axis=1).mean())


def sharpness(images: np.ndarray) -> float:
    """Mean over pictures of the variance of their Laplacian (Pech-Pacheco et al., ICPR 2000).

    Args:
        images: uint8 (N, H, W) or (N, H, W, 3), with H and W of at least 3; colours are averaged.

    Returns:
        The variance of the 4-neighbour Laplacian of grey values in [0, 1]; blur lowers it, and so
        does an empty picture, so compare it with that of real pictures of the same kind.

    Raises:
        ValueError: for another type or shape.
    """
    return float(_laplacian(_grey(images)).var(axis=(1, 2)).mean())


def roughness(images: np.ndarray) -> float:
    """How much of pictures' contrast changes from pixel to pixel, whatever that contrast is.

    Args:
        images: as for `sharpness`.

    Returns:
        The mean over pictures of the variance of their Laplacian, divided by that of their grey
        values: 20 for white noise (4 ** 2 + 4 * 1 ** 2), about 2 for real digits and garments.

    Raises:
        ValueError: for another type or shape.
    """
    grey = _grey(images)
    contrast = np.maximum(grey.var(axis=(1, 2)), 1e-6)  # an empty picture has none
    return float((_laplacian(grey).var(axis=(1, 2)) / contrast).mean())


def _grey(images: np.ndarray) -> np.ndarray:
    """Grey values in [0, 1], (N, H, W); raises ValueError for another type or shape."""
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or min(images.shape[1:3]) < 3:
        raise ValueError(f"Not uint8 (N, H, W) or (N, H, W, 3): {images.dtype} {images.shape}.")
    grey = images.astype(np.float32) / 255.0
    return grey.mean(axis=3) if grey.ndim == 4 else grey


def _laplacian(grey: np.ndarray) -> np.ndarray:
    """The 4-neighbour Laplacian of (N, H, W) pictures, (N, H - 2, W - 2)."""
    return (
        grey[:, :-2, 1:-1]
        + grey[:, 2:, 1:-1]
        + grey[:, 1:-1, :-2]
        + grey[:, 1:-1, 2:]
        - 4.0 * grey[:, 1:-1, 1:-1]
    )


def diversity(features: ArrayLike) -> float:
    """Mean Euclidean distance between two different pictures in feature space, features (N, D).

    0 if all are the same. At most the first 2,000 rows are compared.
    """
    import torch

    rows = torch.from_numpy(np.asarray(features, dtype=np.float32)[:2000])
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"Diversity needs features (N, D) with N >= 2, not {tuple(rows.shape)}.")
    return float(torch.pdist(rows).mean())


def diversity_within(features: ArrayLike, classes: ArrayLike) -> float | None:
    """Mean distance between pictures of one class, averaged over the classes, features (N, D).

    None if no class of ``classes``, (N,), has two pictures.
    """
    rows, classes = np.asarray(features), np.asarray(classes)
    groups = [rows[classes == label] for label in np.unique(classes)]
    distances = [diversity(group) for group in groups if len(group) > 1]
    return float(np.mean(distances)) if distances else None
