"""Crops scale with the image, and restored maps are aligned with the file."""

import numpy as np
import pytest

from cxrjax.data.preprocessing import standardize_mask
from cxrjax.io.crop import Crop, Frame, cut, inward_lines, restore, scale
from cxrjax.io.radiograph import Radiograph


def test_cut_removes_lines_from_each_side():
    picture = np.arange(30).reshape(5, 6)
    np.testing.assert_array_equal(cut(picture, Crop(1, 2, 3, 1)), [[9, 10], [15, 16]])
    np.testing.assert_array_equal(cut(picture, Crop()), picture)


def test_scaled_crops_worked_by_hand():
    assert scale(Crop(10, 20, 30, 40), (100, 200), (50, 100)) == Crop(5, 10, 15, 20)
    assert scale(Crop(10, 20, 30, 40), (100, 200), (300, 600)) == Crop(30, 60, 90, 120)
    assert scale(Crop(), (100, 200), (7, 9)) == Crop()
    # 45 of 100 rows from each end leave 10, of which 4 are less than one; one stays.
    assert scale(Crop(45, 45, 0, 0), (100, 100), (4, 4)) == Crop(2, 1, 0, 0)
    assert scale(Crop(99, 0, 0, 99), (100, 100), (4, 4)) == Crop(3, 0, 0, 3)


@pytest.mark.parametrize("size", [50, 128, 512])
def test_restored_marks_are_at_their_positions_in_the_file(size):
    """Single pixels survive where the square has at least the pixels of the cut radiograph: exactly."""
    crop = Crop(7, 13, 21, 4)
    shape = (70, 75)  # 50 x 50 inside
    marks = np.zeros(shape, np.uint8)
    for label, place in enumerate([(7, 21), (7, 70), (56, 21), (56, 70), (30, 45), (31, 46)], start=1):
        marks[place] = label
    square = standardize_mask(marks, Radiograph(np.ones(shape, np.uint8), "made up", "png"), crop, size=size)
    np.testing.assert_array_equal(restore(square, crop, shape), marks)


@pytest.mark.parametrize("shape", [(20, 23), (131, 90), (1001, 2044)])
def test_line_counts_equal_restored_lines(shape):
    frame = Frame(*shape, Crop(1, 2, 3, 0))
    rows = np.repeat(np.arange(512, dtype=np.uint16)[:, None], 512, axis=1)
    inside = cut(frame.restore(rows), frame.crop), cut(frame.restore(rows.T.copy()), frame.crop)
    expected = np.bincount(inside[0][:, 0], minlength=512), np.bincount(inside[1][0], minlength=512)
    for counted, occurring in zip(frame.line_counts(512), expected, strict=True):
        np.testing.assert_array_equal(counted, occurring)


def test_restore_preserves_dtype_and_fills_margins():
    crop = Crop(1, 0, 2, 0)
    framed = restore(np.full((8, 8), 0.5, np.float32), crop, (5, 6), fill=-1)
    assert framed.dtype == np.float32
    assert (framed[0] == -1).all() and (framed[:, :2] == -1).all() and (framed[1:, 2:] == 0.5).all()
    assert restore(np.ones((8, 8), bool), crop, (5, 6)).sum() == 16


def test_inward_lines_of_each_side():
    picture = np.arange(20).reshape(4, 5)
    expected = {
        "top": [[0, 5], [1, 6], [2, 7], [3, 8], [4, 9]],
        "bottom": [[15, 10], [16, 11], [17, 12], [18, 13], [19, 14]],
        "left": [[0, 1], [5, 6], [10, 11], [15, 16]],
        "right": [[4, 3], [9, 8], [14, 13], [19, 18]],
    }
    for side, lines in expected.items():
        np.testing.assert_array_equal(inward_lines(picture, side, 10), lines)
    assert len(inward_lines(np.zeros((1000, 6)), "left", 300)) == 334
