"""The loss, the sampler and the validation scores of several findings per radiograph, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cxrjax.config import default_config, freeze
from cxrjax.data.sampler import BatchSampler
from cxrjax.io.prepared import DatasetError
from cxrjax.ops import voting
from cxrjax.training import losses, objectives

NAN = np.nan
TARGETS = np.array([[1, 0], [0, -1], [1, NAN], [0, 1]], np.float32)


@pytest.fixture
def config():
    config = default_config()
    config.task = "classify"
    config.classifier.targets, config.classifier.classes = "multi", ("a", "b")
    return config


def logit(p):
    return np.log(np.asarray(p) / (1 - np.asarray(p)))


def test_loss_is_the_mean_over_known_targets():
    logits = logit([[0.8, 0.5], [0.3, 0.9], [0.6, 0.1], [0.5, 0.25]]).astype(np.float32)
    surprise = -np.log([0.8, 0.5, 0.7, 0.6, 0.5, 0.25])
    assert losses.binary_cross_entropy(logits, TARGETS, jnp.ones(2)) == pytest.approx(surprise.mean(), rel=1e-5)
    weighted = (surprise * [3, 1, 1, 3, 1, 5]).mean()
    assert losses.binary_cross_entropy(logits, TARGETS, jnp.array([3.0, 5])) == pytest.approx(weighted, rel=1e-5)
    focal = (surprise * (1 - np.exp(-surprise)) ** 2).mean() / 4
    assert losses.binary_cross_entropy(logits, TARGETS, jnp.ones(2), 2.0, 0.25) == pytest.approx(focal, rel=1e-5)
    soft = losses.binary_cross_entropy(logits[:1, :1], np.array([[0.25]], np.float32), jnp.ones(1))
    assert soft == pytest.approx(-(0.25 * np.log(0.8) + 0.75 * np.log(0.2)), rel=1e-5)


def test_unknown_targets_have_no_gradient_and_no_loss():
    logits = jnp.asarray(logit([[0.8, 0.5], [0.3, 0.9], [0.6, 0.1], [0.5, 0.25]]), jnp.float32)
    gradient = jax.grad(losses.binary_cross_entropy)(logits, TARGETS, jnp.ones(2), 2.0)
    np.testing.assert_array_equal(np.asarray(gradient) == 0, ~(TARGETS >= 0))
    assert losses.binary_cross_entropy(logits, np.full((4, 2), NAN, np.float32), jnp.ones(2)) == 0
    extreme = jax.grad(losses.binary_cross_entropy)(jnp.full((4, 2), 200.0), TARGETS, jnp.ones(2), 0.5)
    assert np.isfinite(extreme).all()


@pytest.mark.parametrize(("uncertain", "value"), [("ignore", NAN), ("zeros", 0), ("ones", 1)])
def test_uncertain_setting_ignores_or_replaces_uncertain_targets(config, uncertain, value):
    config.training.uncertain = uncertain
    objective = objectives.choose(freeze(config), TARGETS)
    logits = logit([[0.8, 0.5], [0.3, 0.9], [0.6, 0.1], [0.5, 0.25]]).astype(np.float32)
    replaced = np.where(TARGETS == -1, np.float32(value), TARGETS)
    expected = losses.binary_cross_entropy(logits, replaced, jnp.ones(2))
    assert objective.loss(logits, TARGETS) == expected
    np.testing.assert_array_equal(objective.sampling_labels, replaced >= 0.5)


def test_inverse_weights_are_negative_over_positive_radiographs(config):
    table = np.array([[1, 0], [0, 1], [0, NAN], [0, 0]], np.float32)
    np.testing.assert_array_equal(losses.weigh_findings(table, ("a", "b"), ("inverse",)), [3, 2])
    np.testing.assert_array_equal(losses.weigh_findings(table, ("a", "b"), (2.0, 0.5)), [2, 0.5])
    with pytest.raises(ValueError, match="with b"):
        losses.weigh_findings(table[[0, 2, 3]], ("a", "b"), ("inverse",))


@pytest.mark.parametrize(("column", "problem"), [(0, "positive in no"), (1, "negative in no"), (NAN, "positive in no")])
def test_a_finding_with_one_value_is_refused_by_name(config, column, problem):
    table = TARGETS.copy()
    table[:, 0] = column
    with pytest.raises(DatasetError, match=f"'a' is {problem}"):
        objectives.choose(freeze(config), table)


def test_balanced_sampling_draws_every_finding_and_none_equally():
    labels = np.array([[1, 0]] * 40 + [[0, 1]] * 8 + [[1, 1]] * 2 + [[0, 0]] * 50, bool)
    sampler = BatchSampler(labels, 100, "balanced", seed=0)
    drawn = labels[np.concatenate([sampler.epoch_rows(epoch).ravel() for epoch in range(60)])]
    # Each third of the draws is of a, of b and of none; those of b have a too in 2 of 10, those of a have b in 2 of 42.
    expected = [(1 + 0.2) / 3, (1 + 2 / 42) / 3, 1 / 3]
    np.testing.assert_allclose([*drawn.mean(0), (~drawn.any(1)).mean()], expected, atol=0.02)
    repeated = BatchSampler(labels, 110, "oversample", 0, oversample_factor=1).epoch_rows(0).ravel()
    np.testing.assert_array_equal(np.bincount(repeated), np.where(labels[:, 1], 2, 1))


def test_validation_scores_use_findings_with_both_values(config):
    targets = np.array([[1, 1], [0, 1], [1, -1], [0, 1], [1, NAN]], np.float32)  # b is never negative
    probabilities = np.array([[0.9, 0.5], [0.2, 0.5], [0.6, 0.5], [0.7, 0.5], [NAN, NAN]])
    scores = objectives.finding_metrics(targets, probabilities, probabilities > 0.55)
    # Of six pairs, 0.9 wins two and 0.6 one; without a prediction both are lost.
    assert scores["macro_auroc"] == pytest.approx(3 / 6)
    assert scores["macro_average_precision"] == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert scores["macro_f1"] == pytest.approx(2 * 2 / (3 + 3))
    known = [0.9, 0.8, 0.6, 0.3, 0.5, 0.5, 0.5]
    assert scores["loss"] == pytest.approx(-np.log(known).mean())


def test_validation_has_label_names_and_names_the_undefined_metric(config):
    objective = objectives.choose(freeze(config), TARGETS)
    votes = voting.VoteResult(
        votes=np.array([[3, 1], [0, 2], [0, 0]]),
        probabilities=np.array([[0.8, 0.2], [0.1, 0.6], [0, 0]]),
        label=np.zeros(3, int),
        vote_fraction=np.zeros(3),
        expected_entropy=np.zeros(3),
        mutual_information=np.zeros(3),
        num_patches=np.array([4, 4, 0]),
    )
    result = objective.score(votes, TARGETS[:3], np.array([True, True, False]))
    assert result.truth == ["a", "no finding", "a"]
    assert result.predictions == ["a", "b", ""]  # b has two of four votes and a mean probability above 0.5
    none = np.zeros((3, 2), np.float32)
    with pytest.raises(ValueError, match="macro_auroc is no number in val, where no finding is positive in some"):
        objective.check_metric("macro_auroc", "val", none, np.ones(3, bool), "training.metric")
    with pytest.raises(ValueError, match="no metric called 'accuracy'; there are macro_auroc"):
        objective.check_metric("accuracy", "val", TARGETS, np.ones(4, bool), "training.metric")
    with pytest.raises(ValueError, match="loss is no number"):
        objective.check_metric("loss", "val", none * NAN, np.ones(3, bool), "training.metric")
    for metric in objectives.FINDING_METRICS:
        objective.check_metric(metric, "val", TARGETS, np.ones(4, bool), "training.metric")
