"""Enhanced channels against OpenCV, pixel by pixel, and thresholds by hand."""

import csv
from functools import partial
from itertools import islice

import cv2
import jax
import numpy as np
import pytest

from cxrjax.data import preprocessing
from cxrjax.io import radiograph
from cxrjax.ops import contrast


def draw(size: int, seed: int = 0) -> np.ndarray:
    """Draw an image with soft shapes, grain, and black and white corners."""
    rng = np.random.default_rng(seed)
    soft = cv2.GaussianBlur(rng.uniform(0, 1, (size, size)), (0, 0), size / 12)
    soft = (soft - soft.min()) / np.ptp(soft) * 220 + rng.normal(0, 6, (size, size))
    soft[: size // 6, : size // 6], soft[-size // 6 :, -size // 6 :] = 0, 255
    return np.clip(soft, 0, 255).astype(np.uint8)


def opencv_channels(image: np.ndarray) -> np.ndarray:
    """Return singhaxn's three channels as OpenCV computes them."""
    size = len(image)
    blurred = cv2.medianBlur(image, contrast.odd_window(size, 0.005))
    window = contrast.odd_window(size, 0.02)
    form = cv2.ADAPTIVE_THRESH_GAUSSIAN_C, cv2.THRESH_BINARY_INV
    edges = cv2.adaptiveThreshold(blurred, 255, *form, window, 2)
    bright = cv2.threshold(image, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[1]
    return np.stack([bright, cv2.createCLAHE(3.0, (8, 8)).apply(image), edges], axis=-1)


def assert_equal_to_opencv(ours: np.ndarray, image: np.ndarray) -> None:
    theirs = opencv_channels(image)
    assert ours.dtype == np.uint8 and ours.shape == theirs.shape
    np.testing.assert_array_equal(ours[..., 0], theirs[..., 0])
    assert np.abs(ours[..., 1].astype(int) - theirs[..., 1]).max() <= 1
    assert (ours[..., 2] == theirs[..., 2]).mean() >= 0.999


enhance = jax.jit(partial(contrast.enhance_channels, kind="enhanced"))
threshold = jax.jit(contrast.otsu_threshold)
median_blur = jax.jit(contrast.median_blur, static_argnames="window")
below_mean = jax.jit(contrast.adaptive_threshold, static_argnames=("window", "offset"))


@pytest.mark.parametrize("size", [233, 512])  # the first is not divided by the tiles
def test_enhanced_channels_equal_opencv(size):
    image = draw(size)
    assert_equal_to_opencv(np.asarray(enhance(image)), image)


def test_enhanced_channels_of_real_radiographs_equal_opencv(shared):
    with open(shared / "data" / "benchmark.csv", newline="") as file:
        paths = [row["path"] for row in islice(csv.DictReader(file), 0, None, 100)]
    for path in paths:
        image = preprocessing.standardize(radiograph.read(shared / "data" / path), size=256, gamma=0.5)
        assert_equal_to_opencv(np.asarray(enhance(image)), image)


def test_otsu_equals_opencv_on_many_histograms():
    rng = np.random.default_rng(0)
    middles, widths = rng.uniform(0, 255, (2000, 3, 1)), rng.uniform(1, 50, (2000, 3, 1))
    pictures = np.clip(rng.normal(middles, widths, (2000, 3, 700)), 0, 255).astype(np.uint8).reshape(2000, 42, 50)
    ours = jax.jit(jax.vmap(threshold))(pictures)
    np.testing.assert_array_equal(ours, [cv2.threshold(one, 0, 255, cv2.THRESH_OTSU)[0] for one in pictures])


@pytest.mark.parametrize(("levels", "expected"), [
    ([7, 7, 7, 7], 0),  # one level only
    ([10, 10, 10, 250], 10),  # any level from 10 to 249 separates them as well
    ([0, 1, 9, 10], 1),
    ([0, 255, 255, 255], 0),
])  # fmt: skip
def test_otsu_by_hand(levels, expected):
    assert threshold(np.array(levels, np.uint8)) == expected


@pytest.mark.parametrize("window", [3, 7, 17])
def test_median_blur_equals_opencv(window):
    image = draw(70, seed=window)[:, :51]
    np.testing.assert_array_equal(median_blur(image, window), cv2.medianBlur(image, window))


@pytest.mark.parametrize("window", [7, 9, 19, 41])
def test_adaptive_threshold_equals_opencv(window):
    image = draw(150, seed=window)[:, :130]
    form = cv2.ADAPTIVE_THRESH_GAUSSIAN_C, cv2.THRESH_BINARY_INV
    theirs = cv2.adaptiveThreshold(image, 255, *form, window, 2) > 0
    assert (below_mean(image, window, 2) == theirs).mean() >= 0.999


def test_adaptive_threshold_of_a_flat_image_and_a_dark_dot():
    image = np.full((30, 30), 90, np.uint8)
    assert not below_mean(image, 7, 2).any()
    image[12, 20] = 80  # a share of (18/64)² of the mean round it: 89.2, rounded 89
    assert np.argwhere(below_mean(image, 7, 2)).tolist() == [[12, 20]]


def test_odd_window_is_rounded_down_with_a_minimum():
    sizes = (448, 550, 1024, 2000)
    assert [contrast.odd_window(size, 0.02) for size in sizes] == [7, 11, 19, 39]
    assert [contrast.odd_window(size, 0.005) for size in sizes] == [7, 7, 7, 9]


def test_vmapped_channels_equal_those_of_single_images():
    images = np.stack([draw(96, seed) for seed in range(3)])
    together = jax.jit(jax.vmap(enhance))(images)
    for image, channels in zip(images, together, strict=True):
        np.testing.assert_array_equal(enhance(image), channels)


def test_unknown_channels_are_named():
    with pytest.raises(ValueError, match="'color'; there are gray, enhanced"):
        contrast.enhance_channels(draw(16), "color")
