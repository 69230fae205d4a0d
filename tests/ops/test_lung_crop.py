"""The box around the lungs by hand and against SciPy, and maps of crops placed back in the image."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from cxrjax.config import default_config, freeze
from cxrjax.data import batch
from cxrjax.inference import lung_segmenter
from cxrjax.ops import lung_crop
from cxrjax.training import classification

crop_resize, letterbox = (
    jax.jit(function, static_argnames="size") for function in (lung_crop.crop_resize, lung_crop.letterbox)
)
uncrop = jax.jit(lung_crop.uncrop, static_argnames="shape")
BOX = np.array([[10, 30], [20, 60]])  # 20 rows, 40 columns


def boxed(shape: tuple[int, int], *boxes: tuple[slice, slice]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for box in boxes:
        mask[box] = True
    return mask


def test_bounding_box_by_hand():
    lungs = boxed((200, 220), np.s_[40:100, 30:60], np.s_[50:120, 100:171])
    # 80 rows and 141 columns: 4 and 7 more on each side
    assert lung_crop.bounding_box(lungs, 0.05).tolist() == [[36, 124], [23, 178]]
    assert lung_crop.bounding_box(lungs, 0).tolist() == [[40, 120], [30, 171]]


def test_bounding_box_is_clipped_to_the_image():
    lungs = boxed((100, 100), np.s_[2:98, 0:60])
    assert lung_crop.bounding_box(lungs, 0.05).tolist() == [[0, 100], [0, 63]]


def test_bounding_boxes_equal_scipy():
    find = jax.jit(partial(lung_crop.bounding_box, margin=0.05))
    rng = np.random.default_rng(0)
    for _ in range(300):
        (top, bottom), (left, right) = (np.sort(rng.choice(301, 2, replace=False)) for _ in range(2))
        rows, columns = ndimage.find_objects(boxed((300, 300), np.s_[top:bottom, left:right]).astype(int))[0]
        expected = []
        for side in (rows, columns):
            wider = int((side.stop - side.start) * 0.05)
            expected.append([max(0, side.start - wider), min(300, side.stop + wider)])
        assert find(boxed((300, 300), np.s_[top:bottom, left:right])).tolist() == expected


def test_box_of_uncertain_lungs_is_the_whole_radiograph():
    lungs = boxed((50, 60), np.s_[10:30, 20:40])
    box, whole = [[9, 31], [19, 41]], [[0, 50], [0, 60]]
    for confidence, expected in ((0.876, box), (0.875, whole), (0.0, whole), (np.nan, whole)):
        assert lung_crop.box_or_full(lungs, jnp.float32(confidence), 0.05, 0.875).tolist() == expected
    assert lung_crop.box_or_full(np.zeros((50, 60), bool), jnp.float32(1), 0.05, 0.875).tolist() == whole


def test_crop_resize_of_a_ramp_is_the_ramp_in_the_box():
    image = np.broadcast_to(np.arange(0, 240, 3, dtype=np.uint8), (40, 80))
    ours = crop_resize(image, BOX, 80)
    expected = 3 * (20 + (np.arange(80) + 0.5) * 40 / 80 - 0.5)  # pixel middles
    assert np.abs(np.asarray(ours, float) - expected).max() <= 0.5 + 1e-4  # rounded to whole levels


def test_crop_resize_to_the_size_of_the_box_copies_pixels():
    image = np.random.default_rng(0).integers(0, 255, (50, 60)).astype(np.uint8)
    np.testing.assert_array_equal(crop_resize(image, np.array([[5, 35], [11, 41]]), 30), image[5:35, 11:41])


@pytest.mark.parametrize("shape", [(64, 64), (64, 64, 3)])
def test_letterbox_preserves_proportions_with_black_margins(shape):
    wide, tall = (np.asarray(letterbox(np.full(shape, 200, np.uint8), box, 32)) for box in (BOX, BOX[::-1]))
    expected = np.zeros((32, 32, *shape[2:]), np.uint8)
    expected[8:24] = 200
    np.testing.assert_array_equal(wide, expected)
    np.testing.assert_array_equal(tall, expected.swapaxes(0, 1))


def test_uncrop_places_a_map_in_the_box():
    laid = np.asarray(uncrop(np.ones((7, 7), np.float32), BOX, (50, 80)))
    np.testing.assert_allclose(laid, boxed((50, 80), np.s_[10:30, 20:60]), atol=1e-6)


def test_uncrop_inverts_crop_resize_and_letterbox():
    """The letterboxed crop, used as a map, equals the radiograph inside the box."""
    rows, columns = np.mgrid[:50, :80]
    image = (120 + 100 * np.sin(rows / 7) * np.cos(columns / 9)).astype(np.uint8)
    seen = letterbox(crop_resize(image, BOX, 160), BOX, 128).astype(np.float32)
    laid = np.asarray(uncrop(seen, BOX, image.shape))
    inside = boxed(image.shape, np.s_[11:29, 21:59])  # at the edge, half a pixel is mixed with black
    assert np.abs(laid - image)[inside].max() <= 3
    assert not laid[~boxed(image.shape, np.s_[10:30, 20:60])].any()


def test_vmapped_crops_equal_single_crops():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (3, 50, 80)).astype(np.uint8)
    boxes = np.array([BOX, [[0, 50], [0, 80]], [[40, 50], [3, 9]]])

    def show(image, box):
        return uncrop(letterbox(crop_resize(image, box, 64), box, 32) / 255, box, (50, 80))

    together = jax.jit(jax.vmap(show))(images, boxes)
    for image, box, seen in zip(images, boxes, together, strict=True):
        np.testing.assert_allclose(show(image, box), seen, atol=1.01 / 255)  # one level, where rounding is a tie


def test_classifier_loss_ignores_pixels_outside_the_box(monkeypatch):
    config = default_config()
    config.classifier.architecture, config.classifier.classes = "hieu2695_baseline", ("normal", "viral")
    config.patches.mode, config.patches.channels, config.patches.mask_lungs = "lung_bbox", "enhanced", False
    config.patches.size = 32
    config.augmentation.rotation, config.augmentation.flip_horizontal = 10.0, 0.5
    config.task = "classify"
    config = freeze(config)
    lungs = np.stack([boxed((64, 64), np.s_[16:48, 20:44])] * 2)
    found = lung_segmenter.LungMasks(lungs, np.ones(2, np.float32), np.ones(2, bool))
    monkeypatch.setattr(lung_segmenter.LungSegmenter, "segment", lambda *_: found)
    images = np.random.default_rng(0).integers(0, 255, (2, 64, 64)).astype(np.uint8)
    names, labels, kinds = ["a", "b"], ["normal", "viral"], np.zeros(2, int)
    split = batch.RadiographBatch(names, names, names, labels, batch.hash_images(images), images, lungs, kinds, None,
                       ["", ""], ["", ""], np.full(2, np.nan, np.float32), np.full((2, 2), np.nan))  # fmt: skip
    task = classification.build(config, split, split, lung_segmenter.LungSegmenter(config, {}))
    variables, run = task.init(jax.random.key(0)), jax.jit(task.loss)

    def loss(pictures: np.ndarray, confidence: float) -> float:
        held = task.data | {"images": pictures, "lungs": (lungs, np.full(2, confidence, np.float32))}
        return float(run(variables["params"], variables["batch_stats"], held, jax.random.key(1))[0])

    others = np.where(boxed((64, 64), np.s_[14:50, 18:46]), images, 255 - images)  # the box, and a pixel around it
    assert loss(images, 0.9) == loss(others, 0.9)
    assert loss(images, 0.8) != loss(others, 0.8)  # low confidence: the whole radiograph is used
