"""ROC curves and areas equal scikit-learn for any weights, and chosen thresholds reach their rate."""

import numpy as np
import pytest
from scipy.special import ndtr, ndtri
from sklearn import metrics as sklearn

from cxrjax.metrics import roc


def draw(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(20, 200))
    positive = np.append([True, False], rng.random(n - 2) < rng.uniform(0.1, 0.9))
    scores = np.round(rng.normal(size=n) + positive, int(rng.integers(0, 3)))  # with many ties, some, few
    weights = np.vstack([np.ones(n), rng.integers(0, 4, (3, n))])
    weights[1:, :2] += 1  # some of each
    return positive, scores, weights


@pytest.mark.parametrize("seed", range(15))
def test_roc_equals_scikit_learn_for_every_weighting(seed):
    positive, scores, weights = draw(seed)
    order = roc.roc_counts(positive, scores, weights)
    areas, precisions = roc.auroc(order), roc.average_precision(order)
    for k, w in enumerate(weights):
        assert areas[k] == pytest.approx(sklearn.roc_auc_score(positive, scores, sample_weight=w))
        assert precisions[k] == pytest.approx(sklearn.average_precision_score(positive, scores, sample_weight=w))
    alarms, hits, thresholds = sklearn.roc_curve(positive, scores, drop_intermediate=False)
    np.testing.assert_allclose(order.false_positives[0] / order.false_positives[0, -1], alarms)
    np.testing.assert_allclose(order.true_positives[0] / order.true_positives[0, -1], hits)
    np.testing.assert_array_equal(order.thresholds, thresholds)
    precision, _, _ = sklearn.precision_recall_curve(positive, scores)
    hits, alarms = order.true_positives[0, 1:], order.false_positives[0, 1:]
    np.testing.assert_allclose(hits / (hits + alarms), precision[:-1][::-1])


@pytest.mark.parametrize("seed", range(15))
def test_areas_of_a_ranking_equal_those_of_the_counts(seed):
    positive, scores, weights = draw(seed)
    scores[np.random.default_rng(seed).random(len(scores)) < 0.1] = np.nan
    weights = np.vstack([weights, np.zeros(len(scores)), positive])  # no radiograph, and no negative
    counts = roc.roc_counts(positive, scores, weights)
    areas = roc.measure_areas(roc.rank(positive, scores), weights)
    np.testing.assert_array_equal(areas.auroc, roc.auroc(counts))
    np.testing.assert_allclose(areas.average_precision, roc.average_precision(counts), rtol=1e-13)
    np.testing.assert_array_equal(areas.positives, counts.true_positives[:, -1])
    np.testing.assert_array_equal(areas.negatives, counts.false_positives[:, -1])


def test_ranking_without_positives_or_radiographs_has_no_area():
    for count in (0, 3):
        areas = roc.measure_areas(roc.rank(np.zeros(count, bool), np.arange(float(count))), np.ones((2, count)))
        np.testing.assert_array_equal(areas.auroc, [np.nan, np.nan])
        np.testing.assert_array_equal(areas.average_precision, [np.nan, np.nan])
        assert areas.negatives.tolist() == [count, count]


def test_missing_scores_lose_every_pair():
    positive, nan = [True, True, False, False, False], np.nan
    for scores, area in (
        ([0.8, 0.4, 0.4, 0.1, 0.9], (2 + 1.5) / 6),
        ([0.8, nan, 0.4, 0.1, 0.9], 2 / 6),
        ([0.8, 0.4, nan, 0.1, 0.9], (1 + 1) / 6),
    ):
        assert roc.auroc(roc.roc_counts(positive, scores, np.ones((1, 5)))) == pytest.approx(area)


def test_undefined_areas_are_nan():
    weights = np.array([[1.0, 1, 1], [0, 1, 1], [1, 0, 0], [0, 0, 0]])  # there are positives and negatives in the first
    order = roc.roc_counts([True, False, False], [0.3, 0.2, 0.9], weights)
    np.testing.assert_array_equal(roc.auroc(order), [0.5, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(roc.average_precision(order), [0.5, np.nan, 1, np.nan])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("wanted", [0.5, 0.8, 0.9])
def test_chosen_threshold_is_the_best_that_reaches_the_rate(seed, wanted):
    positive, scores, weights = draw(seed)
    order = roc.roc_counts(positive, scores, weights[:1])
    m, n = positive.sum(), (~positive).sum()
    counts = [((scores >= t)[positive].sum(), (scores < t)[~positive].sum()) for t in order.thresholds]
    at = roc.choose_threshold(order, specificity=wanted)
    allowed = [pair for pair in counts if pair[1] >= wanted * (n + 1)]
    assert ((scores >= at)[positive].sum(), (scores < at)[~positive].sum()) == max(allowed, default=(0, n))
    at = roc.choose_threshold(order, sensitivity=wanted)
    allowed = [(rejected, hits) for hits, rejected in counts if hits >= wanted * (m + 1)]
    if allowed:
        assert ((scores < at)[~positive].sum(), (scores >= at)[positive].sum()) == max(allowed)
    else:
        assert at == np.inf


def test_threshold_is_midway_between_two_scores():
    """Ten positives, of which 0.9 * 11 = 9.9 must be hit: all ten, and so the threshold is below the lowest of them."""
    scores = np.append(np.arange(10) / 100 + 0.8, [0.1, 0.2, 0.3])
    order = roc.roc_counts(np.arange(13) < 10, scores, np.ones((1, 13)))
    assert roc.choose_threshold(order, sensitivity=0.9) == pytest.approx((0.8 + 0.3) / 2)
    assert roc.choose_threshold(order, sensitivity=0.9, more=2.0) == np.inf  # of patients with two: 10.8 of 10
    assert roc.choose_threshold(order, specificity=0.7) == pytest.approx((0.8 + 0.3) / 2)
    assert roc.choose_threshold(order, specificity=0.9) == np.inf  # three negatives cannot promise that


@pytest.mark.parametrize("each", [1, 3])  # radiographs of a patient, all alike
@pytest.mark.parametrize("positives", [10, 30])
def test_operating_points_reach_their_rate_on_new_data_on_average(positives, each):
    """Many validation sets, AUROC 0.98: the rate of the validation set itself gave 0.84 and 0.88 on new data."""
    rng, reached = np.random.default_rng(0), []
    apart = ndtri(0.98) * np.sqrt(2)
    positive = np.repeat(np.arange(5 * positives) < positives, each)
    for _ in range(600):
        scores = np.repeat(rng.normal(size=5 * positives), each) + apart * positive
        order = roc.roc_counts(positive, scores, np.ones((1, len(scores))))
        at = [roc.choose_threshold(order, more=each, **{rate: 0.9}) for rate in ("sensitivity", "specificity")]
        reached.append([ndtr(apart - at[0]), ndtr(at[1])])
    assert (np.mean(reached, 0) > 0.9 - 0.005).all()


def test_a_threshold_needs_positives_and_negatives():
    with pytest.raises(ValueError, match="both positives and negatives"):
        roc.choose_threshold(roc.roc_counts([True], [1.0], np.ones((1, 1))), specificity=0.9)


def test_scores_of_minus_infinity_are_never_positive():
    scores = np.array([0.9, 0.2, -np.inf, 0.4, -np.inf])
    order = roc.roc_counts([True, True, True, False, False], scores, np.ones((1, 5)))
    assert roc.choose_threshold(order, sensitivity=0.9) == np.inf  # two of three at most
    assert roc.choose_threshold(order, sensitivity=0.25) == pytest.approx((0.9 + 0.4) / 2)  # one hit
    assert roc.choose_threshold(order, sensitivity=0.5) == 0.2  # two hits; below it there is no finite score
    assert roc.choose_threshold(order, specificity=0.6) == pytest.approx((0.9 + 0.4) / 2)
