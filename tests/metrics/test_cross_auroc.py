"""Pairs that the source ranks wrongly, by hand and on networks of known truth."""

import numpy as np
import pytest

from cxrjax.metrics import cross_auroc, roc

POSITIVE = np.array([True, True, True, False, False, False])
SCORES = np.array([0.6, 0.3, 0.9, 0.7, 0.4, 0.1])
PRIOR = np.array([0.2, 0.2, 0.8, 0.8, 0.8, 0.2])
ONCE = np.ones((1, 6))


def test_conflicting_and_aligned_pairs_by_hand():
    # Against the source: 0.6 and 0.3 with 0.7 and 0.4, of which one is in order. With it: 0.9 with 0.1.
    against = cross_auroc.conflicting(POSITIVE, SCORES, PRIOR, ONCE)
    assert (against.value[0], against.positives[0], against.negatives[0]) == (0.25, 2, 2)
    along = cross_auroc.aligned(POSITIVE, SCORES, PRIOR, ONCE)
    assert (along.value[0], along.positives[0], along.negatives[0]) == (1, 1, 1)
    twice_the_first = np.array([[2, 1, 1, 1, 1, 1]])
    assert cross_auroc.conflicting(POSITIVE, SCORES, PRIOR, twice_the_first).value[0] == pytest.approx(2 / 6)


def test_missing_prediction_loses_its_pairs_and_a_tie_is_half():
    scores = np.array([np.nan, 0.4, 0.9, 0.7, 0.4, 0.1])
    assert cross_auroc.conflicting(POSITIVE, scores, PRIOR, ONCE).value[0] == 0.5 / 4


def test_value_without_pairs_is_nan():
    assert np.isnan(cross_auroc.conflicting(POSITIVE, SCORES, POSITIVE.astype(float), ONCE).value[0])
    assert np.isnan(cross_auroc.conflicting(POSITIVE, SCORES, np.full(6, 0.5), ONCE).value[0])


def test_all_pairs_are_aligned_conflicting_or_of_equal_sources():
    rng = np.random.default_rng(0)
    positive = rng.random(200) < 0.4
    prior = rng.choice([0.1, 0.4, 0.7], 200)
    scores = rng.normal(positive + prior)
    weights = rng.integers(0, 3, (3, 200))
    whole = roc.auroc(roc.roc_counts(positive, scores, weights))
    wins = np.zeros(3)
    for part in (cross_auroc.conflicting, cross_auroc.aligned):
        wins += part(positive, scores, prior, weights).value * _count_pairs(positive, prior, weights, part)
    for value in np.unique(prior):
        rows = prior == value
        counts = roc.roc_counts(positive[rows], scores[rows], weights[:, rows])
        wins += roc.auroc(counts) * counts.true_positives[:, -1] * counts.false_positives[:, -1]
    pairs = weights[:, positive].sum(1) * weights[:, ~positive].sum(1)
    np.testing.assert_allclose(wins / pairs, whole)


def _count_pairs(positive, prior, weights, part):
    sign = 1 if part is cross_auroc.conflicting else -1
    misleads = sign * prior[positive][:, None] < sign * prior[~positive][None]
    return np.einsum("rp,pn,rn->r", weights[:, positive], misleads, weights[:, ~positive])


@pytest.mark.parametrize(
    ("disease", "source", "low", "high"), [(3.0, 0.0, 0.97, 1.0), (0.5, 6.0, 0.0, 0.02), (0.0, 0.0, 0.45, 0.55)]
)
def test_network_that_follows_the_source_loses_conflicting_pairs(disease, source, low, high):
    rng = np.random.default_rng(1)
    positive = rng.random(20_000) < 0.5
    is_north = rng.random(20_000) < np.where(positive, 0.9, 0.1)
    scores = disease * positive + source * is_north + rng.normal(size=20_000)
    prior = np.where(is_north, 0.9, 0.1)
    assert low <= cross_auroc.conflicting(positive, scores, prior, np.ones((1, 20_000))).value[0] <= high
