"""Every metric against a case whose answer is known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from genlab.evaluation import metrics


def whitened(count: int, width: int) -> np.ndarray:
    """Rows whose sample mean is exactly 0 and whose sample covariance is exactly I."""
    rows = np.random.default_rng(0).normal(size=(count, width))
    rows -= rows.mean(axis=0)
    return rows @ np.linalg.inv(np.linalg.cholesky(np.cov(rows.T))).T


def test_fid_of_two_shifted_and_scaled_gaussians_is_the_closed_form() -> None:
    rows = whitened(500, 4)
    shift = np.array([1.0, -2.0, 0.5, 0.0])
    expected = (shift**2).sum() + 4 * (3.0 - 1.0) ** 2  # |mu|^2 + sum (sigma_a - sigma_b)^2
    assert metrics.fid(rows, 3.0 * rows + shift) == pytest.approx(expected, rel=1e-6)


def test_fid_of_a_set_with_itself_is_zero() -> None:
    rows = whitened(200, 8)
    assert metrics.fid(rows, rows) == pytest.approx(0.0, abs=1e-6)


def test_fid_refuses_sets_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="equal width"):
        metrics.fid(np.zeros((5, 3)), np.zeros((5, 4)))


def test_class_histogram_counts_the_most_probable_classes() -> None:
    probs = np.array([[0.6, 0.4, 0.0], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.9, 0.1, 0.0]])
    assert metrics.class_histogram(probs).tolist() == [0.5, 0.5, 0.0]
    assert metrics.confidence(probs) == pytest.approx(0.75)


def test_entropy_is_log_k_when_even_and_zero_when_collapsed() -> None:
    assert metrics.class_entropy(np.full(10, 0.1)) == pytest.approx(math.log(10))
    assert metrics.class_entropy([0.0, 1.0, 0.0]) == 0.0


def test_classes_at_two_percent_are_not_above_it() -> None:
    assert metrics.classes_above([0.02, 0.03, 0.95], 0.02) == 2


def test_sharpness_of_a_checkerboard_is_sixteen_and_of_a_flat_picture_zero() -> None:
    board = (np.indices((8, 8)).sum(axis=0) % 2 * 255).astype(np.uint8)
    # The Laplacian is -4 on white and +4 on black, in equal numbers: its variance is 16.
    assert metrics.sharpness(board[None]) == pytest.approx(16.0)
    assert metrics.sharpness(np.repeat(board[None, ..., None], 3, axis=3)) == pytest.approx(16.0)
    assert metrics.sharpness(np.full((2, 8, 8), 200, np.uint8)) == pytest.approx(0.0, abs=1e-6)


def test_blur_lowers_sharpness() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 28, 28)).astype(np.float64)
    blurred = (noise + np.roll(noise, 1, axis=1) + np.roll(noise, 1, axis=2)) / 3
    assert metrics.sharpness(blurred.astype(np.uint8)) < metrics.sharpness(noise.astype(np.uint8))


def test_sharpness_refuses_float_pictures() -> None:
    with pytest.raises(ValueError, match="uint8"):
        metrics.sharpness(np.zeros((1, 28, 28), np.float32))


def test_diversity_is_the_mean_distance_of_pairs() -> None:
    assert metrics.diversity([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]]) == pytest.approx(10 / 3)
    assert metrics.diversity(np.ones((5, 3))) == 0.0
