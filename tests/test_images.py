"""Tensors, pictures and contact sheets."""

from __future__ import annotations

import numpy as np
import torch

from genlab.images import contact_sheet, to_pil, to_tensor, to_uint8


def test_the_ends_of_the_range_are_black_and_white_and_beyond_is_clamped():
    images = torch.tensor([-9.0, -1.0, 0.0, 1.0, 9.0]).reshape(1, 1, 1, 5)
    assert to_uint8(images).tolist() == [[[0, 0, 128, 255, 255]]]


def test_every_level_survives_the_way_to_a_tensor_and_back():
    grey = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    rgb = np.stack([grey, 255 - grey, grey // 2], axis=-1)
    assert np.array_equal(to_uint8(to_tensor(grey)), grey)
    assert np.array_equal(to_uint8(to_tensor(rgb)), rgb)


def test_enlarging_repeats_pixels_and_invents_none():
    picture = np.array([[0, 255], [9, 80]], np.uint8)
    assert np.array_equal(np.asarray(to_pil(picture, 4)), picture.repeat(2, 0).repeat(2, 1))


def test_a_sheet_holds_every_picture_in_reading_order():
    pictures = [np.full((2, 2), 10 * (k + 1), np.uint8) for k in range(5)]
    sheet = np.asarray(contact_sheet(pictures, columns=3, gap=1))
    assert sheet.shape == (5, 8)
    assert [sheet[0, 0], sheet[0, 3], sheet[0, 6], sheet[3, 0], sheet[3, 3]] == [10, 20, 30, 40, 50]
    assert sheet[3, 6] == 0
