"""Preview images of validation radiographs: outlines, captions, and no effect on metrics."""

import jax
import numpy as np
import pytest

from cxrjax import plotting
from cxrjax.config import freeze, recipes
from cxrjax.data import batch, dataset
from cxrjax.plotting import preview
from cxrjax.training import classification_data, previews, trainer

ORANGE = (230, 159, 0)
CYAN = (0, 229, 255)

pytestmark = pytest.mark.usefixtures("small_segmenter", "no_learning_curves")


def box(rows: slice, columns: slice, side: int = 32) -> np.ndarray:
    mask = np.zeros((side, side), bool)
    mask[rows, columns] = True
    return mask


def is_color(rgb: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """Return a mask of the pixels that are close to a color, as the smooth edges of its lines, and not gray."""
    return (np.abs(rgb.astype(int) - color).max(-1) < 60) & (np.ptp(rgb.astype(int), axis=-1) > 60)


def test_outlines_follow_the_outer_pixels_of_a_scaled_mask():
    gray = np.full((32, 32), 90, np.uint8)
    drawn = plotting.draw_preview(gray, [(box(slice(8, 24), slice(4, 12)), ORANGE)], [[("text", "#FFFFFF")]])
    assert preview.SIDE == 320 and drawn.shape == (320 + 20 + 12, 320, 3)
    rows, columns = np.nonzero(is_color(drawn[:320], ORANGE))
    # The outer pixels 8 and 23 have their centers at 85 and 235 of 320; 4 and 11 at 45 and 115.
    assert rows.min() in (84, 85) and rows.max() in (234, 235)
    assert columns.min() in (44, 45) and columns.max() in (114, 115)
    assert (drawn[100:220, 60:100] == 90).all() and (drawn[:70] == 90).all()
    assert drawn[320:].max() == 255 and (drawn[320:, 100:] == 0).all()


@pytest.mark.parametrize("mask_type", [batch.STRUCTURES_KNOWN, batch.LUNGS_KNOWN])
def test_heart_is_drawn_only_if_annotated(mask_type):
    heart = box(slice(12, 16), slice(14, 18))
    truth = 2 * box(slice(4, 28), slice(4, 12)) + 3 * box(slice(4, 28), slice(20, 28)) + heart
    predicted = (2 * box(slice(6, 26), slice(5, 11)) + heart).astype(np.uint8)
    scores = {"dice_lungs": 0.5, "dice_heart": 1.0}
    truth = (truth if mask_type == batch.STRUCTURES_KNOWN else truth > 1).astype(np.uint8)
    drawn = previews.draw_lungs(np.full((32, 32), 90, np.uint8), truth, mask_type, predicted, scores)
    assert is_color(drawn[:320, :125], ORANGE).any() and is_color(drawn[:320, :125], CYAN).any()
    assert is_color(drawn[:320, 200:], ORANGE).any() and not is_color(drawn[:320, 200:], CYAN).any()
    middle = drawn[:320, 130:190]
    assert is_color(middle, CYAN).any() == (mask_type == batch.STRUCTURES_KNOWN)
    assert not is_color(middle, ORANGE).any()  # the prediction is drawn over it


def test_the_caption_of_a_wrong_prediction_has_another_color():
    gray = np.full((32, 32), 90, np.uint8)
    arguments = (gray, None, "viral")
    right = previews.draw_votes(*arguments, "viral", [1, 9], ["normal", "viral"])
    wrong = previews.draw_votes(*arguments, "normal", [9, 1], ["normal", "viral"])
    missing = previews.draw_votes(*arguments, "", [0, 0], ["normal", "viral"])
    assert [bool(is_color(image[320:], ORANGE).any()) for image in (right, wrong, missing)] == [False, True, True]
    assert (right[:320] == 90).all()


def configure(phantom_runs, variant, num_images):
    config = recipes.load(f"phantom:{variant}")
    config.data.dir = str(phantom_runs / "data" / "phantom")
    config.image.size = 96
    config.segmenter.size = 32
    config.segmenter.workdir = str(phantom_runs / "segment") if variant == "classify" else ""
    config.patches.update({"size": 32, "count_validation": 3})
    config.tracking.num_images = num_images
    return config


def validate(config, workdir):
    frozen = trainer.setup_workdir(freeze(config), workdir)
    task = trainer.build_task(frozen, workdir)
    return task.validate(jax.device_get(task.init(jax.random.key(0))))


@pytest.mark.parametrize("variant", ["segment", "classify"])
def test_previews_change_no_metric_and_do_not_depend_on_the_cache(phantom_runs, tmp_path, variant):
    config = configure(phantom_runs, variant, 3)
    with_images = validate(config, tmp_path / "memory")
    config.data.cache_limit_mb = 0.0
    streamed = validate(config, tmp_path / "disk")
    without = validate(configure(phantom_runs, variant, 0), tmp_path / "without")
    assert with_images.metrics == without.metrics and not without.images
    count = len(dataset.open_split(freeze(config), "val"))
    assert list(with_images.images) == [f"validation/radiograph_{row}" for row in (0, (count - 1) // 2, count - 1)]
    for name, image in with_images.images.items():
        np.testing.assert_array_equal(image, streamed.images[name])
    distinct = {image.tobytes() for image in with_images.images.values()}
    assert len(distinct) == 3


def test_reading_single_rows_equals_validation_batches(phantom_runs, tmp_path):
    config = freeze(configure(phantom_runs, "classify", 3))
    frozen = trainer.setup_workdir(config, tmp_path)
    segmenter = trainer.LungSegmenter(frozen, trainer.run_dir.load_segmenter(tmp_path / "segmenter", frozen))
    radiographs = dataset.load_or_stream(frozen, "val")
    data = classification_data.build_examples(frozen, segmenter, radiographs, "val")
    ((images, masks, _, _),) = data.iter_batches()
    for row, (image, lungs) in zip([1, 4], data.read([1, 4]), strict=True):
        np.testing.assert_array_equal(image, images[row])
        np.testing.assert_array_equal(lungs, masks[row])
