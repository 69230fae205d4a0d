"""Changes of a picture with known outcomes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cxrjax import augment

NOTHING = augment.Augmentation(**dict.fromkeys(augment.Augmentation._fields, 0.0))
PICTURE = jnp.asarray(np.random.default_rng(0).uniform(0.2, 0.8, (16, 16)), jnp.float32)


augment_patch = jax.jit(augment.augment_patch)  # one program for all settings
draw_affine = jax.jit(augment.draw_affine)


def change(seed, picture=PICTURE, **settings):
    return augment_patch(jax.random.key(seed), picture, NOTHING._replace(**settings))


def test_nothing_changes_nothing():
    np.testing.assert_allclose(change(0), PICTURE, atol=1e-6)


@pytest.mark.parametrize("settings, expected", [
    ({"flip": 1.0}, PICTURE[:, ::-1]),
    ({"upend": 1.0}, PICTURE[::-1]),
    ({"flip": 1.0, "upend": 1.0}, PICTURE[::-1, ::-1]),
])  # fmt: skip
def test_mirrors(settings, expected):
    np.testing.assert_allclose(change(0, **settings), expected, atol=1e-6)


def test_a_crop_is_a_window_enlarged():
    """On a ramp, a window of 3/4 of the side has 3/4 of the slope, wherever it is, and needs no padding."""
    ramp = jnp.broadcast_to((jnp.arange(16) + 0.5) / 16, (16, 16))
    starts = []
    for seed in range(40):
        row = change(seed, ramp, crop=0.25)[8]
        inside = row[1:-1]  # half a pixel beyond the outermost centres is not in the picture
        np.testing.assert_allclose(np.diff(inside), 0.75 / 16, atol=1e-5)
        starts.append(float(row[8] - 0.75 * 8.5 / 16))
    assert 0 <= min(starts) < 0.05 and 0.2 < max(starts) <= 0.25 + 1e-5


def test_rotation_and_zoom_stay_within_their_limits():
    for seed in range(40):
        affine = draw_affine(jax.random.key(seed), NOTHING._replace(rotation=15.0, zoom=0.1))
        scale = np.hypot(affine[0, 0], affine[1, 0])
        assert 0.9 <= scale <= 1.1 and abs(np.degrees(np.arctan2(affine[1, 0], affine[0, 0]))) <= 15
        np.testing.assert_array_equal(affine[:, 2], 0)


def test_equal_keys_give_equal_pictures_under_vmap_and_jit():
    every = augment.Augmentation(15.0, 0.1, 0.1, 0.2, 0.1, 0.1, 0.5, 0.5)
    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.jit(jax.vmap(lambda key: augment.augment_patch(key, PICTURE, every)))(keys)
    for key, one in zip(keys, together, strict=True):
        np.testing.assert_allclose(augment.augment_patch(key, PICTURE, every), one, atol=1e-5)
    assert not np.allclose(together[0], together[1], atol=0.05)


def test_all_channels_of_a_patch_change_alike():
    every = augment.Augmentation(15.0, 0.1, 0.1, 0.2, 0.1, 0.1, 0.5, 0.5)
    channels = jnp.stack([PICTURE, PICTURE.T, 1 - PICTURE], axis=-1)
    for seed in range(4):
        key = jax.random.key(seed)
        together = augment_patch(key, channels, every)
        each = [augment_patch(key, channels[..., k], every) for k in range(3)]
        np.testing.assert_allclose(together, jnp.stack(each, axis=-1), atol=1e-6)


def test_the_mask_moves_with_the_picture():
    mask = (PICTURE > 0.5).astype(jnp.int32)
    image, moved = augment.augment_pair(jax.random.key(3), mask.astype(jnp.float32), mask,
                                        NOTHING._replace(shift=0.2, zoom=0.3))  # fmt: skip
    sure = (image == 0) | (image == 1)  # where the linear form lies on one label
    np.testing.assert_array_equal(moved[sure], image[sure])
