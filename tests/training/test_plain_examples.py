"""A training example that is not augmented has the same input as in validation."""

import jax
import numpy as np
import pytest

from cxrjax.config import default_config, freeze
from cxrjax.data import batch
from cxrjax.inference import lung_segmenter
from cxrjax.training import classification

SIZE, CROP_SIZE = 48, 40  # pixels; a center crop of 1/6


@pytest.fixture(scope="module")
def task():
    config = default_config()
    config.task = "classify"
    config.classifier.architecture, config.classifier.classes = "hieu2695_baseline", ("normal", "viral")
    config.patches.mode, config.patches.mask_lungs = "global", False
    config.patches.size, config.patches.center_crop = CROP_SIZE, 1 / 6
    config.augmentation.rotation, config.augmentation.flip_horizontal = 15.0, 0.5
    config = freeze(config)
    images = np.random.default_rng(0).integers(1, 255, (2, SIZE, SIZE)).astype(np.uint8)
    names, labels, kinds = ["a", "b"], ["normal", "viral"], np.full(2, -1)
    split = batch.RadiographBatch(names, names, names, labels, batch.hash_images(images), images, images > 0, kinds,
                       None, ["", ""], ["", ""], np.full(2, np.nan, np.float32), np.full((2, 2), np.nan))  # fmt: skip
    return classification.build(config, split, split, lung_segmenter.LungSegmenter(config, None))


def test_plain_example_is_the_center_crop_and_augmented_ones_vary(task):
    variables, run = task.init(jax.random.key(0)), jax.jit(task.loss)
    images = task.data["images"]
    frame = np.ones((SIZE, SIZE), bool)
    frame[4:44, 4:44] = False  # around the middle 40 of 48 pixels
    others = np.where(frame, 255 - images, images)

    def loss(pictures, seed, augmented):
        batch = task.data | {"images": pictures, "augmented": np.full(2, augmented)}
        return float(run(variables["params"], variables["batch_stats"], batch, jax.random.key(seed))[0])

    plain = loss(images, 1, False)
    assert plain == loss(images, 2, False) == loss(others, 1, False)
    assert len({plain, loss(images, 1, True), loss(images, 2, True), loss(others, 1, True)}) == 4
