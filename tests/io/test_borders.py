"""Borders at known positions are found, gray levels do not depend on them, and no anatomy is cropped."""

import csv

import cv2
import numpy as np
import pytest

from cxrjax.data.preprocessing import find_borders, standardize
from cxrjax.io import borders, radiograph
from cxrjax.io.borders import Borders
from cxrjax.io.crop import Crop, cut
from cxrjax.io.radiograph import Radiograph

CROP = Crop(40, 31, 52, 18)


def draw_chest(height: int = 320, width: int = 280) -> np.ndarray:
    """Draw a bright trunk with two dark lungs that fills the image, with noise: uint8, no level below 20."""
    rows, columns = np.indices((height, width))
    y = rows / height - 0.5
    x = columns / width - 0.5
    chest = 150 + 40 * np.cos(3 * x) + 20 * np.sin(9 * y)
    for side in (-1, 1):
        chest -= 100 * (((x - side * 0.2) / 0.13) ** 2 + ((y + 0.05) / 0.3) ** 2 < 1)
    chest += np.random.default_rng(1).normal(0, 4, chest.shape)
    return np.clip(chest, 20, 235).astype(np.uint8)


def add_margins(pixels: np.ndarray, level: int, crop: Crop = CROP) -> np.ndarray:
    return np.pad(pixels, ((crop.top, crop.bottom), (crop.left, crop.right)), constant_values=level)


def add_noise(planted: np.ndarray, most: int, crop: Crop = CROP) -> np.ndarray:
    """Replace the margins by noise from 0 to `most`."""
    noisy = np.random.default_rng(2).integers(0, most + 1, planted.shape).astype(planted.dtype)
    cut(noisy, crop)[:] = cut(planted, crop)
    return noisy


def compress(pixels: np.ndarray, quality: int = 90) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)


def rotate(pixels: np.ndarray, degrees: float, level: int) -> np.ndarray:
    height, width = pixels.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    return cv2.warpAffine(pixels, matrix, (width, height), borderValue=level)


def standardize_pixels(pixels: np.ndarray, inverted: bool = False, method: str | Borders = "uniform") -> np.ndarray:
    return standardize(Radiograph(pixels, "made up", "png", inverted=inverted), size=128, gamma=0.5, borders=method)


def test_square_crop_equals_torchxrayvision():
    """`XRayCenterCrop`: from side // 2 - square // 2 on."""
    for height, width, crop in [(5, 8, (0, 0, 2, 1)), (8, 5, (2, 1, 0, 0)), (4, 7, (0, 0, 1, 2)), (6, 6, (0, 0, 0, 0))]:
        pixels = np.zeros((height, width), np.uint8)
        assert borders.find(pixels, method="square").crop == crop
        assert borders.find(pixels, method="none").crop == (0, 0, 0, 0)


def test_chest_without_borders_is_not_cropped():
    assert borders.find(draw_chest()) == Borders(Crop())
    np.testing.assert_array_equal(standardize_pixels(draw_chest()), standardize_pixels(draw_chest(), method="bottom"))


@pytest.mark.parametrize("level", [0, 1, 90, 255])
@pytest.mark.parametrize("scale", [1, 16, 257])
def test_margins_of_one_level_are_cropped_exactly(level, scale):
    chest = draw_chest().astype(np.uint16 if scale > 1 else np.uint8) * scale
    planted = add_margins(chest, level * scale)
    assert borders.find(planted) == Borders(CROP)
    np.testing.assert_array_equal(standardize_pixels(planted), standardize_pixels(chest))
    inverted = planted.max() - planted
    np.testing.assert_array_equal(standardize_pixels(inverted, inverted=True), standardize_pixels(chest))


@pytest.mark.parametrize("side", Crop._fields)
def test_a_margin_at_one_side_is_found(side):
    crop = Crop(**{side: 37})
    for level in (0, 255):
        assert borders.find(add_margins(draw_chest(), level, crop)).crop == crop


def test_nested_margins_are_found():
    inner = Crop(10, 12, 14, 16)
    both = Crop(*(one + other for one, other in zip(CROP, inner, strict=True)))
    assert borders.find(add_margins(add_margins(draw_chest(), 0, inner), 255)).crop == both


@pytest.mark.parametrize("scale", [1, 16])
def test_noisy_margins_are_cropped(scale):
    chest = draw_chest().astype(np.uint16 if scale > 1 else np.uint8) * scale
    planted = add_noise(add_margins(chest, 0), 5 * scale)
    assert borders.find(planted).crop == CROP
    np.testing.assert_array_equal(standardize_pixels(planted), standardize_pixels(chest))
    before = standardize_pixels(planted, method="bottom")
    assert (
        np.percentile(before[40:90, 40:90], 5) > np.percentile(standardize_pixels(chest)[40:90, 40:90], 5) + 40
    )  # the effect that cropping corrects


def test_jpeg_noise_hardly_changes_crop_and_gray_levels():
    chest = draw_chest()
    for planted in (add_margins(chest, 0), add_noise(add_margins(chest, 0), 5), add_margins(chest, 255)):
        found = borders.find(compress(planted))
        assert np.abs(np.subtract(found.crop, CROP)).max() <= 1
        after = np.percentile(standardize_pixels(compress(planted)), (5, 50, 95))
        np.testing.assert_allclose(after, np.percentile(standardize_pixels(compress(chest)), (5, 50, 95)), atol=4)


def test_letterbox_with_burned_in_text_is_cropped():
    box = Crop(0, 0, 150, 150)
    planted = add_margins(draw_chest(), 0, box)
    cv2.putText(planted, "R", (40, 80), cv2.FONT_HERSHEY_SIMPLEX, 1.2, 255, 3)
    cv2.putText(planted, "AP 12:30", (440, 300), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 1)
    assert borders.find(planted).crop == box
    strip = Crop(60, 0, 0, 0)
    planted = add_margins(draw_chest(), 0, strip)
    cv2.putText(planted, "ANY HOSPITAL 2020", (20, 36), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 255, 1)
    assert borders.find(planted).crop == strip


def test_smooth_gradient_is_not_cropped_as_an_edge():
    """A smooth gradient leaves its level on a whole line at once, as an edge does."""
    fading = np.clip(np.linspace(250, 20, 300)[:, None] + np.random.default_rng(0).normal(0, 1, (300, 300)), 0, 255)
    crop = borders.find(fading.astype(np.uint8)).crop
    assert crop == Crop(bottom=crop.bottom)
    assert crop.bottom < 2 * borders.TOLERANCE / (230 / 300)  # as dark as the darkest line, which may be air


def test_air_beside_the_body_is_cropped_only_where_empty():
    rows, columns = np.indices((300, 300))
    body = ((columns - 150) / 120) ** 2 + ((rows - 150) / 400) ** 2 < 1
    picture = np.where(body, draw_chest(300, 300), 0).astype(np.uint8)
    picture[140:160, 5:40] = 120  # an arm
    found = borders.find(picture)
    assert found.content is None
    right = 300 - 1 - int(np.flatnonzero(picture.any(axis=0))[-1])
    assert found.crop == Crop(0, 0, 5, found.crop.right)
    assert right <= found.crop.right <= right + 1  # one pixel of a line may be dust


@pytest.mark.parametrize("degrees", [2, 7, -7, 15])
@pytest.mark.parametrize("level", [0, 255, 3])
def test_corners_of_a_rotated_radiograph_are_masked(degrees, level):
    chest = draw_chest()
    rotated = rotate(chest, degrees, level)
    if level == 3:  # noise
        corners = rotate(np.full_like(chest, 255), degrees, 0) == 0
        rotated[corners] = np.random.default_rng(0).integers(0, 6, int(corners.sum()))
    found = borders.find(rotated)
    assert found.crop == Crop()
    truth = rotate(np.full_like(chest, 255), degrees, 0) > 0
    mask = borders.content_mask(found, rotated.shape) > 0
    assert (mask != truth).mean() < 0.012
    inner = cut(standardize_pixels(rotated), Crop(32, 32, 32, 32))
    expected = cut(
        standardize_pixels(rotate(chest, degrees, 128), method=Borders(Crop(), found.content)), Crop(32, 32, 32, 32)
    )
    np.testing.assert_allclose(np.percentile(inner, (5, 50, 95)), np.percentile(expected, (5, 50, 95)), atol=3)


def test_slanted_collimator_is_cropped_to_its_bounding_box():
    turned = rotate(add_margins(draw_chest(), 255, Crop(40, 40, 40, 40)), 1.5, 255)
    found = borders.find(turned)
    assert found.content is not None
    assert max(abs(np.subtract(found.crop, 40 - 140 * np.sin(np.deg2rad(1.5))))) < 3


def test_method_bottom_crops_only_a_black_bottom():
    planted = add_margins(draw_chest(), 0)
    assert borders.find(planted, method="bottom") == Borders(Crop(bottom=CROP.bottom))
    with pytest.raises(ValueError, match=r"config.image.borders='all' is unknown; available: uniform, bottom"):
        borders.find(planted, method="all")


def test_no_lung_of_a_real_radiograph_is_cropped(shared):
    """In a sample of the radiographs with masks, no mask pixel is outside the crop or the content."""
    with open(shared / "data" / "lungs.csv", newline="") as file:
        rows = list(csv.DictReader(file))[::40]
    cropped = 0
    for row in rows:
        picture = radiograph.read(shared / "data" / row["path"])
        mask = cv2.imread(str(shared / "data" / row["mask"]), cv2.IMREAD_GRAYSCALE) > 0
        found = find_borders(picture, "uniform")
        cropped += any(found.crop)
        height, width = picture.pixels.shape
        y, x = np.nonzero(mask)
        y = (y + 0.5) * height / mask.shape[0]
        x = (x + 0.5) * width / mask.shape[1]
        assert y.min() > found.crop.top and y.max() < height - found.crop.bottom, row["path"]
        assert x.min() > found.crop.left and x.max() < width - found.crop.right, row["path"]
    assert 3 < cropped < len(rows) / 2
