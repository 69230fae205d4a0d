"""Centres are uniform over the lungs and inside; crops are true to the padded image."""

import jax
import numpy as np
from scipy import stats

from cxrjax.ops import patches

draw_centres = jax.jit(patches.sample_patch_centers, static_argnames="count")


def two_lungs() -> np.ndarray:
    mask = np.zeros((24, 30), bool)
    mask[4:20, 3:9] = True
    mask[6:23, 18:29] = True
    mask[9:12, 20:23] = False
    return mask


def test_centres_are_uniform_over_lung_pixels():
    mask = two_lungs()
    centres = np.asarray(draw_centres(jax.random.key(0), mask, 200_000))
    counts = np.zeros(mask.shape, int)
    np.add.at(counts, tuple(centres.T), 1)
    assert counts[~mask].sum() == 0
    assert stats.chisquare(counts[mask]).pvalue > 1e-3


def test_a_single_lung_pixel_is_always_the_centre():
    mask = np.zeros((16, 16), bool)
    mask[15, 0] = True
    assert (np.asarray(draw_centres(jax.random.key(1), mask, 50)) == [15, 0]).all()


def test_an_empty_mask_ends_and_stays_inside_the_picture():
    centres = np.asarray(draw_centres(jax.random.key(0), np.zeros((8, 9), bool), 5))
    assert (centres >= 0).all() and (centres < [8, 9]).all()


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
    centres = np.stack([rng.integers(0, 11, 7), rng.integers(0, 13, 7)], axis=1)
    with jax.enable_x64(True):
        left = (np.asarray(patches.extract_patches(image, centres, 6)) * values).sum()
        right = (image * np.asarray(patches.paste(values, centres, image.shape))).sum()
    assert abs(left - right) < 1e-9
