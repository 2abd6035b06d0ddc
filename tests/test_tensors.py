"""Tensors to pictures and back."""

from __future__ import annotations

import numpy as np
import torch

from genlab.engine.tensors import to_tensor, to_uint8


def test_the_ends_of_the_range_are_black_and_white_and_beyond_is_clamped():
    images = torch.tensor([-9.0, -1.0, 0.0, 1.0, 9.0]).reshape(1, 1, 1, 5)
    assert to_uint8(images).tolist() == [[[0, 0, 128, 255, 255]]]


def test_every_level_survives_the_way_to_a_tensor_and_back():
    grey = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    rgb = np.stack([grey, 255 - grey, grey // 2], axis=-1)
    assert np.array_equal(to_uint8(to_tensor(grey)), grey)
    assert np.array_equal(to_uint8(to_tensor(rgb)), rgb)
