"""The turn from a file's raster to the upright radiograph, and back."""

import itertools

import numpy as np
import pydicom
import pytest

from cxrjax.io.dicom_orientation import Turn, find_turn, read_orientation

PIXELS = np.arange(6).reshape(2, 3)
ORIENTATIONS = [
    orientation for across, down in itertools.product("LR", "FH") for orientation in ((across, down), (down, across))
]


def test_find_turn_of_orientations_by_hand():
    """The patient's left and feet, the last row and column of the upright radiograph, are found where the file says."""
    np.testing.assert_array_equal(find_turn(("L", "F")).apply(PIXELS), PIXELS)
    np.testing.assert_array_equal(find_turn(("R", "F")).apply(PIXELS), [[2, 1, 0], [5, 4, 3]])
    np.testing.assert_array_equal(find_turn(("L", "H")).apply(PIXELS), [[3, 4, 5], [0, 1, 2]])
    np.testing.assert_array_equal(find_turn(("F", "L")).apply(PIXELS), [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(find_turn(("H", "L")).apply(PIXELS), [[2, 5], [1, 4], [0, 3]])


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_undo_inverts_apply_for_every_orientation(orientation):
    turn = find_turn(orientation)
    colors = np.arange(18).reshape(2, 3, 3)
    np.testing.assert_array_equal(turn.undo(turn.apply(colors)), colors)
    np.testing.assert_array_equal(turn.apply(turn.undo(PIXELS)), PIXELS)


@pytest.mark.parametrize(
    ("values", "expected"),
    [(["LP", "FA"], ("L", "F")), (["H", "R"], ("H", "R")), (["L", "R"], None), (["A", "F"], None), (["L"], None)],
)
def test_only_frontal_orientations_are_read(values, expected):
    dataset = pydicom.Dataset()
    dataset.PatientOrientation = values
    assert read_orientation(dataset) == expected
    assert find_turn(None) == Turn()
