"""Augmentations with known outcomes."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cxrjax.config.settings import AugmentationConfig
from cxrjax.ops import augmentation

NOTHING = AugmentationConfig()
EVERYTHING = AugmentationConfig(
    rotation=15.0,
    scale=0.1,
    shift=0.1,
    contrast=0.2,
    brightness=0.1,
    random_crop=0.1,
    flip_horizontal=0.5,
    flip_vertical=0.5,
)
IMAGE = jnp.asarray(np.random.default_rng(0).uniform(0.2, 0.8, (16, 16)), jnp.float32)


augment_patch = jax.jit(augmentation.augment_patch, static_argnames="settings")
sample_affine = jax.jit(augmentation.sample_affine, static_argnames="settings")


def change(seed, picture=IMAGE, **settings):
    return augment_patch(jax.random.key(seed), picture, replace(NOTHING, **settings))


def test_default_augmentation_is_the_identity():
    np.testing.assert_allclose(change(0), IMAGE, atol=1e-6)


@pytest.mark.parametrize("settings, expected", [
    ({"flip_horizontal": 1.0}, IMAGE[:, ::-1]),
    ({"flip_vertical": 1.0}, IMAGE[::-1]),
    ({"flip_horizontal": 1.0, "flip_vertical": 1.0}, IMAGE[::-1, ::-1]),
])  # fmt: skip
def test_flips_mirror_the_image(settings, expected):
    np.testing.assert_allclose(change(0, **settings), expected, atol=1e-6)


def test_random_crop_enlarges_a_window():
    """On a ramp, a window of 3/4 of the side has 3/4 of the slope, wherever it is, and needs no padding."""
    ramp = jnp.broadcast_to((jnp.arange(16) + 0.5) / 16, (16, 16))
    starts = []
    for seed in range(40):
        row = change(seed, ramp, random_crop=0.25)[8]
        inside = row[1:-1]  # half a pixel beyond the outermost centers is outside the image
        np.testing.assert_allclose(np.diff(inside), 0.75 / 16, atol=1e-5)
        starts.append(float(row[8] - 0.75 * 8.5 / 16))
    assert 0 <= min(starts) < 0.05 and 0.2 < max(starts) <= 0.25 + 1e-5


def test_rotation_and_zoom_stay_within_their_limits():
    for seed in range(40):
        affine = sample_affine(jax.random.key(seed), replace(NOTHING, rotation=15.0, scale=0.1))
        scale = np.hypot(affine[0, 0], affine[1, 0])
        assert 0.9 <= scale <= 1.1 and abs(np.degrees(np.arctan2(affine[1, 0], affine[0, 0]))) <= 15
        np.testing.assert_array_equal(affine[:, 2], 0)


def test_equal_keys_give_equal_images_under_vmap_and_jit():
    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.jit(jax.vmap(lambda key: augmentation.augment_patch(key, IMAGE, EVERYTHING)))(keys)
    for key, one in zip(keys, together, strict=True):
        np.testing.assert_allclose(augmentation.augment_patch(key, IMAGE, EVERYTHING), one, atol=1e-5)
    assert not np.allclose(together[0], together[1], atol=0.05)


def test_all_channels_of_a_patch_change_equally():
    channels = jnp.stack([IMAGE, IMAGE.T, 1 - IMAGE], axis=-1)
    for seed in range(4):
        key = jax.random.key(seed)
        together = augment_patch(key, channels, EVERYTHING)
        each = [augment_patch(key, channels[..., k], EVERYTHING) for k in range(3)]
        np.testing.assert_allclose(together, jnp.stack(each, axis=-1), atol=1e-6)


def test_mask_moves_with_the_image():
    mask = (IMAGE > 0.5).astype(jnp.int32)
    image, moved = augmentation.augment_pair(jax.random.key(3), mask.astype(jnp.float32), mask,
                                        replace(NOTHING, shift=0.2, scale=0.3))  # fmt: skip
    sure = (image == 0) | (image == 1)  # where the linear form lies on one label
    np.testing.assert_array_equal(moved[sure], image[sure])


def test_contrast_is_about_the_middle_or_the_mean_of_the_image():
    """Levels 0.2 and 0.4: about 0.5 they go to 0.5 + s (x - 0.5), about their mean of 0.3 to 0.3 + s (x - 0.3)."""
    picture = jnp.where(jnp.arange(16) < 8, 0.2, 0.4) * jnp.ones((16, 1))
    for seed in range(4):
        dark, light = change(seed, picture, contrast=0.5, contrast_about="mean")[8, ::8]
        stretch = float(light - dark) / 0.2
        assert 0.5 <= stretch <= 1.5 and abs(stretch - 1) > 1e-3
        np.testing.assert_allclose([dark, light], [0.3 - 0.1 * stretch, 0.3 + 0.1 * stretch], atol=1e-6)
        about_middle = change(seed, picture, contrast=0.5)[8, ::8]
        np.testing.assert_allclose(about_middle, [0.5 - 0.3 * stretch, 0.5 - 0.1 * stretch], atol=1e-6)


def test_contrast_mean_is_per_channel_and_before_the_shift():
    levels = jnp.array([0.3, 0.6])
    flat = jnp.broadcast_to(levels, (16, 16, 2))
    moved = change(0, flat, contrast=0.5, contrast_about="mean", shift=0.4)
    for channel in range(2):  # an image of one level has no contrast; black pixels come from outside
        inside = np.asarray(moved[..., channel] > 0.99 * levels[channel])
        assert inside.any() and not inside.all()
        np.testing.assert_allclose(moved[..., channel][inside], levels[channel], atol=1e-6)


def test_unknown_contrast_about_is_named():
    with pytest.raises(ValueError, match="'median'; there are middle, mean"):
        augmentation.augment_patch(jax.random.key(0), IMAGE, replace(NOTHING, contrast_about="median"))


def test_each_augmentation_has_its_probability_independently():
    settings = replace(NOTHING, rotation=10.0, scale=0.1, shift=0.1, flip_horizontal=0.5, probability=0.75)
    keys = jax.random.split(jax.random.key(0), 4000)
    affine = np.asarray(jax.jit(jax.vmap(lambda key: augmentation.sample_affine(key, settings)))(keys))
    turned = np.abs(affine[:, 1, 0]) > 1e-6
    zoomed = np.abs(np.hypot(affine[:, 0, 0], affine[:, 1, 0]) - 1) > 1e-6
    shifted = np.abs(affine[:, :, 2]) > 1e-6
    np.testing.assert_array_equal(shifted[:, 0], shifted[:, 1])
    kinds = np.stack([turned, zoomed, shifted[:, 0]])
    np.testing.assert_allclose(kinds.mean(1), 0.75, atol=0.03)  # four standard errors
    np.testing.assert_allclose(np.corrcoef(kinds)[np.triu_indices(3, 1)], 0, atol=0.07)
    flipped = np.linalg.det(affine[:, :, :2]) < 0
    assert abs(flipped.mean() - 0.5) < 0.03  # a flip has a probability of its own
    gray = jax.jit(jax.vmap(lambda key: augmentation._draw(key, (0, 1), 0.75)))(keys)
    np.testing.assert_allclose((np.asarray(gray) != 0).mean(0), 0.75, atol=0.03)


def test_dihedral_symmetries_are_equally_frequent():
    """Half of the images and an eighth of the other half are unchanged: 0.5625; each other symmetry has 0.0625."""
    keys = jax.random.split(jax.random.key(0), 4000)
    settings = replace(NOTHING, dihedral=0.5)
    affine = np.asarray(jax.jit(jax.vmap(lambda key: augmentation.sample_affine(key, settings)))(keys))
    assert not affine[:, :, 2].any()
    kinds, counts = np.unique(np.round(affine[:, :, :2]).astype(int).reshape(-1, 4), axis=0, return_counts=True)
    assert len(kinds) == 8 and all(sorted(np.abs(kind)) == [0, 0, 1, 1] for kind in kinds)
    identity = (kinds == [1, 0, 0, 1]).all(1)
    np.testing.assert_allclose(counts[identity] / 4000, 0.5625, atol=0.03)
    np.testing.assert_allclose(counts[~identity] / 4000, 0.0625, atol=0.015)


def test_dihedral_symmetry_moves_whole_pixels_of_image_and_mask():
    mask = jnp.arange(256).reshape(16, 16)
    symmetries = [np.rot90(turned, k) for turned in (mask, mask.T) for k in range(4)]
    move = jax.jit(lambda key: augmentation.augment_pair(key, mask / 256, mask, replace(NOTHING, dihedral=1.0)))
    for seed in range(6):
        image, moved = move(jax.random.key(seed))
        assert sum(np.array_equal(moved, symmetry) for symmetry in symmetries) == 1
        np.testing.assert_allclose(image * 256, moved, atol=1e-3)


def test_examples_that_are_not_chosen_are_unchanged():
    mask = (IMAGE > 0.5).astype(jnp.int32)
    chosen = jnp.array([True, False, True])
    keys = jax.random.split(jax.random.key(0), 3)

    def change_both(key, one):
        return augmentation.augment_patch(key, IMAGE, EVERYTHING, one), *augmentation.augment_pair(
            key, IMAGE, mask, EVERYTHING, one
        )

    patches, images, masks = jax.jit(jax.vmap(change_both))(keys, chosen)
    for moved, still in ((patches, IMAGE), (images, IMAGE), (masks, mask)):
        np.testing.assert_array_equal(moved[1], still)
        assert not np.array_equal(moved[0], still) and not np.array_equal(moved[2], still)
    np.testing.assert_allclose(patches[0], augment_patch(keys[0], IMAGE, EVERYTHING), atol=1e-5)
    assert augmentation.augment_patch(keys[0], IMAGE, EVERYTHING, chosen=False) is IMAGE


def test_border_is_blank_in_the_image_and_background_in_the_mask():
    settings = replace(NOTHING, border=0.25)
    mask = jnp.ones((16, 16), jnp.uint8)
    image = jnp.full((16, 16), 0.5)
    augment_pair = jax.jit(augmentation.augment_pair, static_argnames="settings")
    levels = set()
    widths = []
    for seed in range(64):
        augmented, augmented_mask = augment_pair(jax.random.key(seed), image, mask, settings)
        border = np.asarray(augmented_mask) == 0
        levels |= set(np.unique(np.asarray(augmented)[border]).tolist())
        np.testing.assert_array_equal(np.asarray(augmented)[~border], 0.5)
        assert not border[4:12, 4:12].any()  # a quarter of the side at most
        rows = border.all(1)
        columns = border.all(0)
        np.testing.assert_array_equal(border, rows[:, None] | columns[None, :])
        widths += [rows[:8].sum(), rows[8:].sum(), columns[:8].sum(), columns[8:].sum()]
    assert levels == {0.0, 1.0}
    # Half of the sides have no border; the others have 0 to 4 pixels uniformly, and 1/8 of these round to 0.
    assert np.mean(np.array(widths) == 0) == pytest.approx(0.5 + 0.5 / 8, abs=0.1)
    assert max(widths) == 4


def test_border_does_not_change_the_other_random_draws():
    key = jax.random.key(3)
    without_border = augment_patch(key, IMAGE, EVERYTHING)
    with_border = augment_patch(key, IMAGE, replace(EVERYTHING, border=0.3))
    inner = slice(5, 11)
    np.testing.assert_array_equal(with_border[inner, inner], without_border[inner, inner])
