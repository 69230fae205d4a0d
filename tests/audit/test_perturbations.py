"""Perturbed images of audit experiments: pixels inside the lungs, outside and on the margin, by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from cxrjax.audit import perturbations

S = 40


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(1, 255, (3, S, S)).astype(np.uint8)


@pytest.fixture
def lungs():
    lungs = np.zeros((3, S, S), bool)
    lungs[0, 10:20, 8:12] = lungs[0, 14:24, 26:30] = True
    lungs[1, 5:8, 5:8] = True
    return lungs  # the third has none


def test_mask_out_lungs_hides_a_box_around_both_lungs_and_a_margin(images, lungs):
    perturbed = np.asarray(perturbations.mask_out_lungs(images, lungs))
    box = np.zeros((S, S), bool)
    box[8:26, 6:32] = True  # rows 10 to 23 and columns 8 to 29, and 5% of 40 pixels on each side
    np.testing.assert_array_equal(perturbed[0] == 0, box)
    assert (perturbed[1] == 0).sum() == 7 * 7 and not perturbed[2].any()


def test_hidden_pixels_do_not_change_levels_of_visible_pixels(images, lungs):
    brighter = np.where(lungs, 255, images).astype(np.uint8)
    np.testing.assert_array_equal(
        perturbations.mask_out_lungs(images, lungs), perturbations.mask_out_lungs(brighter, lungs)
    )
    darker = np.where(lungs, images, 7).astype(np.uint8)
    np.testing.assert_array_equal(perturbations.lungs_only(images, lungs), perturbations.lungs_only(darker, lungs))


def test_lungs_only_and_border_only_zero_all_other_pixels(images, lungs):
    np.testing.assert_array_equal(np.asarray(perturbations.lungs_only(images, lungs)) > 0, lungs)
    inner = np.zeros((S, S), bool)
    inner[4:36, 4:36] = True
    for perturbed in np.asarray(perturbations.border_only(images, lungs)):
        np.testing.assert_array_equal(perturbed == 0, inner)


def test_match_levels_are_middle_ranks():
    image = np.array([[[9, 9], [40, 200]]], np.uint8)
    everywhere = np.ones((1, 2, 2), bool)
    # Ranks (0 + 1), 2.5 and 3.5 of 4, on a scale of 254 from 1.
    np.testing.assert_allclose(
        perturbations.match_levels(image, everywhere)[0], [[64.5, 64.5], [159.75, 223.25]], atol=0.51
    )
    there = np.array([[[False, True], [True, False]]])
    np.testing.assert_allclose(perturbations.match_levels(image, there)[0], [[0, 64.5], [191.5, 0]], atol=0.51)


def test_match_histogram_undoes_monotonic_contrast_changes(images):
    gamma = np.rint(60 + 190 * (np.arange(256) / 255) ** 0.5).astype(np.uint8)
    rising = np.unique(gamma, return_index=True)[1]  # levels that stay apart
    coarse = rising[images % len(rising)].astype(np.uint8)
    pooled = perturbations.pool_levels(images)
    np.testing.assert_array_equal(
        perturbations.match_histogram(coarse, pooled),
        perturbations.match_histogram(gamma[coarse], pooled),
    )


def test_match_histogram_to_pooled_levels_of_all_images():
    """Images that have the pooled levels do not change, and darker ones get them."""
    usual = np.random.default_rng(0).permuted(np.tile(np.arange(16, 144).astype(np.uint8), (4, 8)), axis=1)
    usual = usual.reshape(4, 32, 32)
    pooled = perturbations.pool_levels(usual)
    assert np.abs(np.asarray(perturbations.match_histogram(usual, pooled), int) - usual).max() <= 1
    assert np.abs(np.asarray(perturbations.match_histogram(usual // 2, pooled), int) - usual).max() <= 2


def test_downsample_resolution_removes_only_fine_detail():
    rows = np.arange(512)[None, :, None]
    finest = np.broadcast_to(255 * (rows % 2), (1, 512, 512)).astype(np.uint8)  # a line a pixel
    broad = np.broadcast_to(np.rint(127 + 100 * np.sin(2 * np.pi * rows / 128)), (1, 512, 512)).astype(np.uint8)
    blurred = np.asarray(perturbations.downsample_resolution(finest))[:, 4:-4]
    assert np.ptp(blurred) <= 2 and abs(blurred.mean() - 127.5) < 2
    assert np.abs(np.asarray(perturbations.downsample_resolution(broad), int) - broad)[:, 4:-4].max() <= 2


def test_add_marker_places_the_marker_in_corner_or_lungs(images, lungs):
    corner = np.asarray(perturbations.add_marker(images, lungs, inside=False)) != images
    assert not corner[:, 4:].any() and not corner[:, :, 4:].any() and corner[:, 1:4, 1:4].all(0).sum() >= 8
    changed = np.asarray(perturbations.add_marker(images, lungs, inside=True)) != images
    assert changed[0, 10:20, 8:12].any() and not (changed[0] & ~lungs[0]).any()  # in the lung of the left half
    assert not changed[2].any()
    place, side = perturbations.marker_box(jnp.asarray(lungs[0]), True)
    assert side == 3 and np.abs(np.asarray(place) + 1 - [14.5, 9.5]).max() <= 0.5


def test_box_only_is_a_black_box_of_the_lungs_on_white():
    lungs = np.zeros((2, 40, 40), bool)
    lungs[0, 10:20, 12:30] = True
    perturbed = np.asarray(perturbations.box_only(lungs))
    expected = np.full((40, 40), 255)
    expected[8:22, 10:32] = 0  # the lungs, and a twentieth of 40 around them
    np.testing.assert_array_equal(perturbed[0], expected)
    assert not perturbed[1].any()
