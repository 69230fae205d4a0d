"""Patch centers are uniform over the lungs, and crops equal the padded image."""

import jax
import numpy as np
from scipy import stats

from cxrjax.ops import patches

draw_centers = jax.jit(patches.sample_patch_centers, static_argnames="count")


def two_lungs() -> np.ndarray:
    mask = np.zeros((24, 30), bool)
    mask[4:20, 3:9] = True
    mask[6:23, 18:29] = True
    mask[9:12, 20:23] = False
    return mask


def test_centers_are_uniform_over_lung_pixels():
    mask = two_lungs()
    centers = np.asarray(draw_centers(jax.random.key(0), mask, 200_000))
    counts = np.zeros(mask.shape, int)
    np.add.at(counts, tuple(centers.T), 1)
    assert counts[~mask].sum() == 0
    assert stats.chisquare(counts[mask]).pvalue > 1e-3


def test_single_lung_pixel_is_always_the_center():
    mask = np.zeros((16, 16), bool)
    mask[15, 0] = True
    assert (np.asarray(draw_centers(jax.random.key(1), mask, 50)) == [15, 0]).all()


def test_centers_of_an_empty_mask_are_inside_the_image():
    centers = np.asarray(draw_centers(jax.random.key(0), np.zeros((8, 9), bool), 5))
    assert (centers >= 0).all() and (centers < [8, 9]).all()


def test_crop_at_the_border_is_padded_not_stretched():
    image = np.arange(1, 31, dtype=np.uint8).reshape(5, 6)
    crops = np.asarray(patches.extract_patches(image, np.array([[0, 0], [4, 5], [2, 3]]), 4))
    assert (crops[0] == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 2], [0, 0, 7, 8]]).all()
    assert (crops[1] == [[16, 17, 18, 0], [22, 23, 24, 0], [28, 29, 30, 0], [0, 0, 0, 0]]).all()
    assert (crops[2] == image[0:4, 1:5]).all()
    assert (crops[:, 2, 2] == [image[0, 0], image[4, 5], image[2, 3]]).all()


def test_paste_is_the_transpose_of_crop():
    rng = np.random.default_rng(0)
    image, values = rng.normal(size=(11, 13)), rng.normal(size=(7, 6, 6))
    centers = np.stack([rng.integers(0, 11, 7), rng.integers(0, 13, 7)], axis=1)
    with jax.enable_x64(True):
        left = (np.asarray(patches.extract_patches(image, centers, 6)) * values).sum()
        right = (image * np.asarray(patches.paste(values, centers, image.shape))).sum()
    assert abs(left - right) < 1e-9
