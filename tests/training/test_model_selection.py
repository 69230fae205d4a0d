"""Selection of the best network: strictly better, in the direction of the metric."""

import jax.numpy as jnp
import numpy as np
import pytest

from cxrjax.config import default_config
from cxrjax.data import batch
from cxrjax.metrics import classification
from cxrjax.training import losses, model_selection, objectives, schedules, segmentation


@pytest.mark.parametrize(
    "metric, values, better",
    [
        ("val/macro_f1", (0.5, 0.7, 0.7, 0.69, 0.71), [True, True, False, False, True]),
        ("val/loss", (0.9, 0.7, 0.7, 0.71, 0.6), [True, True, False, False, True]),
        ("val/macro_auroc", (float("nan"), 0.4, float("nan")), [False, True, False]),
    ],
)
def test_update_best_by_hand(metric, values, better):
    best, stale, found = jnp.float32(-jnp.inf), jnp.int32(0), []
    for value in values:
        waited = int(stale)
        best, stale, this = model_selection.update_best(
            best, stale, model_selection.signed_metric(metric, {metric: value})
        )
        found.append(this)
        assert int(stale) == (0 if this else waited + 1)
    assert found == better
    last = max(epoch for epoch, this in enumerate(better) if this)
    assert model_selection.best_epoch([{metric: value} for value in values], metric)[metric] == values[last]


def test_unknown_metric_is_named():
    with pytest.raises(ValueError, match="no metric called 'f1'; there are loss"):
        model_selection.signed_metric("f1", {"loss": 1.0})


def test_average_jaccard_distinguishes_left_and_right_lung():
    """As in the original's mean over heart and lungs: swapped lungs score a third, both as right lung score a half."""
    truth = np.zeros((64, 64), np.uint8)
    truth[10:50, 8:24], truth[10:50, 40:56], truth[30:50, 24:40] = 3, 2, 1
    exchanged, one_side = truth.copy(), np.where(truth == 2, 3, truth)
    exchanged[truth == 2], exchanged[truth == 3] = 3, 2

    def score(*pairs):
        rows = [segmentation.mask_metrics(found, true, kind) | {"status": "ok"} for found, true, kind in pairs]
        return segmentation.average_jaccard(classification.segmentation_metrics(rows)["structures"])

    known, lungs_alone = batch.STRUCTURES_KNOWN, batch.LUNGS_KNOWN
    assert score((truth, truth, known)) == 1
    assert score((exchanged, truth, known)) == pytest.approx(1 / 3)
    assert score((one_side, truth, known)) == pytest.approx(0.5)
    assert score((exchanged, truth > 1, lungs_alone)) == 1
    assert score((exchanged, truth, known), (exchanged, truth > 1, lungs_alone)) == pytest.approx((1 + 0 + 0 + 1) / 4)


def test_heart_pixels_are_not_scored_in_masks_with_lungs_behind_it():
    truth = np.zeros((8, 8), np.uint8)
    truth[2:6, 1:7] = 1  # both lungs and the heart between them
    predicted = np.zeros((8, 8), np.uint8)
    predicted[2:6, 1:3] = 3
    predicted[2:6, 3:5] = 1
    predicted[2:5, 5:7] = 2  # a row of the left lung is missed
    with_heart = segmentation.mask_metrics(predicted, truth, batch.LUNGS_WITH_HEART_KNOWN)
    assert with_heart["dice_lungs"] == pytest.approx(2 * 14 / (14 + 16))
    without_heart = segmentation.mask_metrics(predicted, truth, batch.LUNGS_KNOWN)
    assert without_heart["dice_lungs"] == pytest.approx(2 * 14 / (14 + 24))
    covered = np.where(truth > 0, 1, predicted)  # a heart that covers both lungs
    assert segmentation.mask_metrics(covered, truth, batch.LUNGS_WITH_HEART_KNOWN)["dice_lungs"] == 0
    assert all(np.isnan(with_heart[f"dice_{name}"]) for name in ("heart", "left lung", "right lung"))


def test_undefined_validation_metric_is_refused_before_training():
    one, both, found = np.zeros(5, int), np.array([0, 1, 0]), np.ones(5, bool)
    with pytest.raises(ValueError, match="macro_auroc is no number in val, where all radiographs are of one class"):
        objectives.check_metric("macro_auroc", "val", one, found)
    with pytest.raises(ValueError, match="loss is no number in val, where no lungs are found"):
        objectives.check_metric("loss", "val", both, np.zeros(3, bool))
    with pytest.raises(ValueError, match="no metric called 'f1'; there are macro_f1"):
        objectives.check_metric("f1", "val", both, found)
    for metric in objectives.METRICS:
        objectives.check_metric(metric, "val", both, found)


def test_plateau_metric_is_checked_too():
    training = default_config().training
    training.metric, training.plateau_metric = "macro_f1", "val/macro_auroc"
    assert model_selection.list_watched(training) == {"training.metric": "macro_f1"}  # no plateau is waited for
    training.schedule = "plateau"
    assert model_selection.list_watched(training) == {
        "training.metric": "macro_f1",
        "training.plateau_metric": "macro_auroc",
    }
    with pytest.raises(ValueError, match="training.plateau_metric=macro_auroc is no number in val, where all"):
        objectives.check_metric("macro_auroc", "val", np.zeros(5, int), np.ones(5, bool), "training.plateau_metric")
    with pytest.raises(
        ValueError, match="training.plateau_metric: no metric called 'f1'; there are jaccard, dice_lungs"
    ):
        model_selection.check_name("training.plateau_metric", "f1", segmentation.METRICS)
    for plateau in ("", model_selection.TRAIN_LOSS):
        training.plateau_metric = plateau
        assert list(model_selection.list_watched(training)) == ["training.metric"]
    training.plateau_metric = "macro_auroc"
    with pytest.raises(ValueError, match="plateau_metric=macro_auroc is not train/loss, nor val/ and a metric's name"):
        model_selection.list_watched(training)


def test_loss_of_a_batch_with_zero_class_weight_is_zero():
    assert losses.cross_entropy(jnp.zeros((2, 3)), jnp.array([0, 0]), jnp.array([0.0, 1, 1])) == 0


def test_milestones_of_the_same_step_multiply():
    schedule = schedules.build_schedule("steps", 1.0, 5, 0, (0.7, 0.8, 0.9), 0.1, 1, (0.25, 25, 1e5))
    assert float(schedule(5)) == pytest.approx(1e-3)
