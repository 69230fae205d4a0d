"""Connected components against SciPy, and postprocessing of lung masks."""

import jax
import numpy as np
import pytest
from scipy import ndimage

from cxrjax.ops import lung_masks

label_components, postprocess_mask = jax.jit(lung_masks.label_components), jax.jit(lung_masks.postprocess_mask)


@pytest.mark.parametrize("density", [0.3, 0.45, 0.6])
def test_label_components_equals_scipy(density):
    mask = np.random.default_rng(int(density * 100)).uniform(size=(40, 55)) < density
    ours = np.asarray(label_components(mask))
    theirs, count = ndimage.label(mask, np.ones((3, 3)))
    pairs = set(zip(ours.ravel().tolist(), theirs.ravel().tolist(), strict=True))
    assert len(pairs) == count + (~mask).any() and len(np.unique(ours)) == len(pairs)


def test_spiral_is_one_connected_component():
    mask = np.zeros((33, 33), bool)
    for k in range(0, 16, 2):
        mask[k, k : 33 - k] = mask[32 - k, k : 33 - k] = mask[k : 33 - k, 32 - k] = True
        mask[k + 2 : 33 - k, k] = True
        mask[k + 2, k : k + 3] = True
    _, count = ndimage.label(mask, np.ones((3, 3)))
    assert len(np.unique(np.asarray(label_components(mask)))) == count + 1


def test_postprocessing_drops_specks_and_fills_holes_of_two_lungs():
    wanted = np.zeros((50, 60), bool)
    wanted[8:40, 5:22] = wanted[10:42, 35:55] = True
    rough = wanted.copy()
    rough[15:18, 10:13] = False  # a hole
    rough[2:5, 28:31] = True  # a speck
    assert (np.asarray(postprocess_mask(rough, 0.005)) == wanted).all()


def test_postprocessing_does_not_change_an_empty_or_full_mask():
    for mask in (np.zeros((20, 20), bool), np.ones((20, 20), bool)):
        assert (np.asarray(postprocess_mask(mask, 0.005)) == mask).all()


def test_postprocessing_preserves_a_single_lung():
    mask = np.zeros((40, 40), bool)
    mask[5:30, 5:15] = True
    mask[35, 35] = True
    cleaned = np.asarray(postprocess_mask(mask, 0.005))
    assert cleaned[5:30, 5:15].all() and not cleaned[35, 35]


def test_filled_holes_equal_scipy():
    ring = np.zeros((11, 11), bool)
    for step in range(6):  # a closed ring of 20 pixels that touch at their corners
        ring[[5 + step, 5 - step, 5 + step, 5 - step], [step, step, 10 - step, 10 - step]] = True
    assert ring.sum() == 20 and np.asarray(postprocess_mask(ring, 0.0)).sum() == 61
    for seed in range(20):
        rough = np.random.default_rng(seed).uniform(size=(24, 31)) < 0.6
        labels, count = ndimage.label(rough, np.ones((3, 3)))
        largest = np.argsort(np.bincount(labels.ravel())[1:])[::-1][:2] + 1
        areas = np.sort(np.bincount(labels.ravel())[1:])[::-1]
        if count > 2 and areas[1] == areas[2]:
            continue  # which of two equal components remains is not what this test is about
        wanted = ndimage.binary_fill_holes(np.isin(labels, largest))
        assert (np.asarray(postprocess_mask(rough, 0.0)) == wanted).all()
