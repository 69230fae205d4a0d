"""Boxes, areas and cardiothoracic ratio equal those of the label map at the size of the file."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from cxrjax.inference.lung_geometry import cardiothoracic_ratio, measure_geometry
from cxrjax.io.crop import Crop, Frame
from cxrjax.ops import lung_masks, morphometry


@pytest.fixture
def chest():
    labels = np.zeros((50, 50), np.uint8)
    labels[5:30, 4:18] = 3
    labels[8:35, 30:46] = 2
    labels[25:33, 16:36] = 1
    labels[2, 49] = 1  # a speck of heart
    labels[45, 3] = 2  # a speck of the left lung
    return labels


def test_measure_geometry_by_hand(chest):
    values = measure_geometry(chest, Frame(50, 50), (0.5, 2.0))
    box = [values[f"left_lung_{part}"] for part in ("row", "column", "height", "width")]
    assert box == [8, 30, 27, 16]  # without the speck
    assert [values[f"right_lung_{part}"] for part in ("row", "column", "height", "width")] == [5, 4, 25, 14]
    right = (chest == 3).sum()
    left = (chest == 2).sum()
    assert values["right_lung_area_mm2"] == right and values["left_lung_area_mm2"] == left
    assert values["lung_area_mm2"] == left + right
    assert values["cardiothoracic_ratio"] == pytest.approx(20 / 42)  # columns 16..35 over 4..45


@pytest.mark.parametrize("frame", [Frame(50, 50), Frame(131, 77, Crop(3, 8, 20, 1)), Frame(30, 200, Crop(4, 0, 0, 11))])
def test_measure_geometry_equals_the_restored_label_map(chest, frame):
    native = frame.restore(chest)
    values = measure_geometry(chest, frame, (0.2, 0.3))
    for lung, label in (("left_lung", 2), ("right_lung", 3)):
        assert values[f"{lung}_area_mm2"] == pytest.approx((native == label).sum() * 0.06)
    rows, columns = np.nonzero(native == 3)
    row, column = values["right_lung_row"], values["right_lung_column"]
    assert (row, column) == (rows.min(), columns.min())
    assert row + values["right_lung_height"] == rows.max() + 1
    assert column + values["right_lung_width"] == columns.max() + 1


@pytest.mark.parametrize("seed", range(5))
def test_lung_box_equals_scipys_largest_component(seed):
    left = np.random.default_rng(seed).uniform(size=(40, 40)) < 0.35
    parts, _ = ndimage.label(left, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel())[1:]
    assert (sizes == sizes.max()).sum() == 1
    rows, columns = ndimage.find_objects(parts)[sizes.argmax()]
    values = measure_geometry(np.where(left, 2, 0).astype(np.uint8), Frame(40, 40), None)
    box = [values[f"left_lung_{part}"] for part in ("row", "column", "height", "width")]
    assert box == [rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start]


def test_lung_areas_equal_those_of_morphometry(chest):
    lungs = np.asarray(lung_masks.lung_union(chest))
    image = np.zeros(chest.shape, np.uint8)
    other = morphometry.measure_lungs(image, lungs, chest, jnp.array([25.0, 100.0]), jax.random.key(0), 4, 8)
    values = measure_geometry(chest, Frame(50, 50), (0.5, 2.0))
    for name in ("lung_area_mm2", "left_lung_area_mm2"):
        assert values[name] == pytest.approx(float(other[name]), rel=1e-5)


def test_cardiothoracic_ratio_uses_largest_heart_part_and_widest_lungs(chest):
    assert cardiothoracic_ratio(chest) == pytest.approx(20 / 42)  # columns 16..35 over 4..45
    chest[2, 47:50] = 1  # another speck of heart
    chest[31, 1] = 3  # a row whose outer borders are the columns 1 and 45
    assert cardiothoracic_ratio(chest) == pytest.approx(20 / 45)
    edges = np.append(0, np.where(np.arange(50) < 20, 2, 1).cumsum())  # the first 20 columns are two pixels wide
    assert cardiothoracic_ratio(chest, edges) == pytest.approx((4 * 2 + 16) / (19 * 2 + 26))


def test_geometry_of_absent_structures_is_nan(chest):
    assert all(np.isnan(value) for value in measure_geometry(np.zeros((8, 8), np.uint8), Frame(8, 8), (1, 1)).values())
    alone = measure_geometry(np.where(chest == 2, 0, chest).astype(np.uint8), Frame(50, 50), None)
    assert np.isnan([alone["left_lung_row"], alone["lung_area_mm2"], alone["cardiothoracic_ratio"]]).all()
    assert alone["right_lung_row"] == 5
