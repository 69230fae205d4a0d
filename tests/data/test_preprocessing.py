"""Preprocessing compared with the original's numbers, and its invariances."""

import numpy as np
import pytest

from cxrjax.data.preprocessing import equalize_histogram, find_borders, rescale_intensity, standardize, standardize_mask
from cxrjax.io.borders import count_rows_above_border
from cxrjax.io.radiograph import Radiograph


def film(shape: tuple[int, int] = (120, 100), top: int = 4095) -> np.ndarray:
    """Return synthetic 12-bit values, smooth with noise, none of them 0."""
    rows, columns = np.indices(shape)
    values = 0.5 + 0.4 * np.sin(rows / 17) * np.cos(columns / 23) + np.random.default_rng(0).normal(0, 0.02, shape)
    return np.clip(values * top, 1, top).astype(np.uint16)


def standardize_labels(labels: np.ndarray, radiograph: Radiograph, size: int) -> np.ndarray:
    """Return a mask in the standardized square of a radiograph."""
    return standardize_mask(labels, radiograph, find_borders(radiograph, "uniform").crop, size=size)


def make_radiograph(pixels: np.ndarray, format: str = "png", inverted: bool = False) -> Radiograph:
    return Radiograph(pixels, "made-up", format, inverted=inverted)


@pytest.mark.parametrize(
    ("raw", "expected", "treatment"),
    [
        ("raw_12bit", "jsrt_equalised", {"inverted": True, "low_offset": 10}),
        ("raw_12bit", "equalised_12bit", {}),
        ("raw_8bit", "equalised_8bit", {}),
    ],
)
def test_equalize_histogram_equals_the_original(shared, raw, expected, treatment):
    with np.load(shared / "parity" / "preprocess_oh2020.npz") as reference:
        got = equalize_histogram(reference[raw], gamma=0.5, **treatment)
        assert got.dtype == np.float32
        assert np.abs(got - reference[expected]).max() < 1e-3


def test_equalize_histogram_equals_values_by_hand():
    # Counts 2, 1, 1, 4 of the levels 3, 5, 6, 9: cumulated 2, 3, 4, 8; less the first 0, 1, 2, 6; over 6.
    pixels = np.array([[3, 3, 5, 6], [9, 9, 9, 9]], np.uint8)
    share = np.array([[0, 0, 1 / 6, 2 / 6], [1, 1, 1, 1]])
    np.testing.assert_allclose(equalize_histogram(pixels, gamma=1.0), 255 * share, atol=1e-4)
    np.testing.assert_allclose(equalize_histogram(pixels, gamma=0.5), 255 * share**0.5, atol=1e-4)
    np.testing.assert_allclose(equalize_histogram(pixels, gamma=1.0, inverted=True), 255 * (1 - share), atol=1e-4)
    # An offset of 2 begins the range at the level 6 (4 pixels), and what lies below is 0.
    offset = [[0, 0, 0, 0], [255, 255, 255, 255]]
    np.testing.assert_allclose(equalize_histogram(pixels, gamma=1.0, low_offset=2), offset, atol=1e-4)


@pytest.mark.parametrize("gamma", [0.5, 1.0])
@pytest.mark.parametrize("inverted", [False, True])
def test_equalized_levels_span_0_to_255(gamma, inverted):
    got = equalize_histogram(film(), gamma=gamma, inverted=inverted)
    assert (got.min(), got.max()) == (0, 255)


def test_result_does_not_depend_on_scanner_brightness_and_contrast():
    pixels = film(top=4095)
    np.testing.assert_array_equal(
        equalize_histogram(pixels, gamma=0.5), equalize_histogram(7 * pixels + 300, gamma=0.5)
    )


def test_result_does_not_depend_on_bit_depth():
    eight = (film() >> 4).astype(np.uint8)
    sixteen = eight.astype(np.uint16) * 257
    one, other = (standardize(make_radiograph(pixels), size=64, gamma=0.5) for pixels in (eight, sixteen))
    np.testing.assert_array_equal(one, other)


def test_blank_border_is_cropped_as_in_the_original():
    pixels = np.vstack([film(), np.zeros((30, 100), np.uint16)])
    half, center = pixels.shape[0] // 2, pixels.shape[1] // 2
    original = half + np.flatnonzero(pixels[half:, center] == 0)[0]  # get_original in the original
    assert count_rows_above_border(pixels) == original == 120
    np.testing.assert_array_equal(
        standardize(make_radiograph(pixels), size=64, gamma=0.5),
        standardize(make_radiograph(film()), size=64, gamma=0.5),
    )


def test_blank_border_of_a_negative_is_at_its_highest_value():
    pixels = np.vstack([film(), np.full((30, 100), 4095, np.uint16)])
    assert count_rows_above_border(pixels, inverted=True) == 120
    assert count_rows_above_border(pixels) == 150


@pytest.mark.parametrize("row", [60, 90, 119])
def test_single_black_pixels_do_not_crop_the_image(row):
    pixels = film()
    pixels[row, 50] = 0
    pixels[:, 0] = 0
    assert count_rows_above_border(pixels) == 120
    pixels[row, 1:] = 0  # a whole line, with picture below it
    assert count_rows_above_border(pixels) == (119 if row == 119 else 120)


def test_upper_half_is_never_cropped():
    pixels = film()
    pixels[20:] = 0
    assert count_rows_above_border(pixels) == 60


def test_inverted_image_is_standardized_like_the_original_image():
    pixels = np.vstack([film(), np.zeros((30, 100), np.uint16)])
    one = standardize(make_radiograph(pixels), size=64, gamma=0.5)
    other = standardize(make_radiograph(4095 - pixels, format="dicom", inverted=True), size=64, gamma=0.5)
    np.testing.assert_array_equal(one, other)


def test_jsrt_is_standardized_as_in_the_original():
    pixels = film((64, 64))
    got = standardize(make_radiograph(pixels, format="jsrt", inverted=True), size=64, gamma=0.5)
    expected = equalize_histogram(pixels, gamma=0.5, inverted=True, low_offset=10)
    np.testing.assert_array_equal(got, np.rint(expected).astype(np.uint8))


def test_8_bit_levels_without_equalization_are_unchanged():
    pixels = np.arange(64 * 64).reshape(64, 64).astype(np.uint8)
    np.testing.assert_array_equal(standardize(make_radiograph(pixels), size=64, gamma=1.0, equalize=False), pixels)
    turned = standardize(make_radiograph(pixels, format="dicom", inverted=True), size=64, gamma=1.0, equalize=False)
    np.testing.assert_array_equal(turned, 255 - pixels)
    squared = standardize(make_radiograph(pixels), size=64, gamma=2.0, equalize=False)
    np.testing.assert_array_equal(squared, np.rint(255 * (pixels / 255) ** 2))


def test_levels_without_equalization_equal_values_by_hand():
    # The highest of the first needs 8 bits, of the second 10, of the last 16.
    for levels, top in [([0, 51, 102], 255), ([0, 102, 1000], 1023), ([0, 2**15, 40_000], 2**16 - 1)]:
        pixels, share = np.array([levels], np.uint16), np.array([levels]) / top
        np.testing.assert_allclose(rescale_intensity(pixels, gamma=1.0), 255 * share, rtol=1e-6)
        expected = 255 * (1 - share) ** 0.5
        np.testing.assert_allclose(rescale_intensity(pixels, gamma=0.5, inverted=True), expected, rtol=1e-6)


@pytest.mark.parametrize("shape", [(64, 64), (200, 90), (90, 200), (40, 50), (300, 310)])
def test_output_is_a_uint8_square_of_the_same_mean(shape):
    pixels = film(shape)
    got = standardize(make_radiograph(pixels), size=128, gamma=0.5)
    assert (got.shape, got.dtype) == ((128, 128), np.uint8)
    assert abs(got.mean() - equalize_histogram(pixels, gamma=0.5).mean()) < 2


def test_downscaling_does_not_alias():
    # A checkerboard of single pixels has no detail at half its size: each 2 x 2 block averages to one gray.
    board = (np.indices((128, 128)).sum(axis=0) % 2 + 1).astype(np.uint8)
    assert np.ptp(standardize(make_radiograph(board), size=64, gamma=0.5)) == 0
    tall = np.repeat(board, 2, axis=1)[:, :96]  # one side shrinks by two, the other grows
    assert np.ptp(standardize(make_radiograph(tall[:, :60]), size=64, gamma=0.5).astype(int), axis=0).max() <= 1


def test_single_gray_level_is_an_error():
    with pytest.raises(ValueError, match="single gray level"):
        equalize_histogram(np.full((40, 40), 9, np.uint8), gamma=0.5)
    with pytest.raises(ValueError, match="single gray level"):
        equalize_histogram(np.array([[1, 2]], np.uint8), gamma=0.5, low_offset=10)
    pixels = np.full((40, 40), 9, np.uint8)
    pixels[30:] = 0  # one level once the border is off
    with pytest.raises(ValueError, match="single gray level"):
        standardize(make_radiograph(pixels), size=32, gamma=0.5)


def test_mask_is_aligned_with_the_image():
    pixels = film((120, 100)) // 4 + 1
    pixels[40:80, 30:60] = 4095
    pixels = np.vstack([pixels, np.zeros((30, 100), np.uint16)])
    labels = np.where(pixels == 4095, 3, 0).astype(np.uint8)
    image = standardize(make_radiograph(pixels), size=240, gamma=0.5)
    mask = standardize_labels(labels, make_radiograph(pixels), 240)
    assert set(np.unique(mask)) == {0, 3} and mask.dtype == np.uint8
    assert ((image == 255) & (mask == 3)).sum() / (
        (image == 255) | (mask == 3)
    ).sum() > 0.9  # cubic interpolation rounds the edge off
    # Rows 40..80 of 120 and columns 30..60 of 100, on 240.
    rows, columns = np.nonzero(mask)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (80, 159, 72, 143)


def test_masks_of_other_resolution_or_bool_are_standardized():
    pixels = np.vstack([film((120, 100)), np.zeros((40, 100), np.uint16)])
    full = np.zeros((160, 100), bool)
    full[20:60, 10:50] = True
    half = full[::2, ::2]
    expected = standardize_labels(full, make_radiograph(pixels), 60)
    np.testing.assert_array_equal(standardize_labels(half, make_radiograph(pixels), 60), expected)
    assert expected.sum() == 20 * 24


def test_mask_of_other_proportions_is_refused():
    with pytest.raises(ValueError, match="made-up"):
        standardize_labels(np.zeros((100, 120), np.uint8), make_radiograph(film((120, 100))), 64)
