"""Pictures and contact sheets."""

from __future__ import annotations

import numpy as np

from genlab.images import contact_sheet, to_pil


def test_enlarging_repeats_pixels_and_invents_none():
    picture = np.array([[0, 255], [9, 80]], np.uint8)
    assert np.array_equal(np.asarray(to_pil(picture, 4)), picture.repeat(2, 0).repeat(2, 1))


def test_a_sheet_holds_every_picture_in_reading_order():
    pictures = [np.full((2, 2), 10 * (k + 1), np.uint8) for k in range(5)]
    sheet = np.asarray(contact_sheet(pictures, columns=3, gap=1))
    assert sheet.shape == (5, 8)
    assert [sheet[0, 0], sheet[0, 3], sheet[0, 6], sheet[3, 0], sheet[3, 3]] == [10, 20, 30, 40, 50]
    assert sheet[3, 6] == 0
