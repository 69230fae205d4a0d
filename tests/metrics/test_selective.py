"""Selective prediction and vote convergence by hand, by integration and by exact distributions; subgroups."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import hypergeom

from cxrjax.metrics import selective, subgroups, vote_convergence


def test_selective_accuracy_by_hand():
    right, certainty = np.array([1, 1, 0, 1, 0], bool), np.array([0.9, 0.8, 0.7, 0.6, np.nan])
    counts = selective.by_certainty(right, certainty, np.ones((1, 5)))
    shares = selective.accuracy(counts, (0.0, 0.2, 0.4, 0.5, 0.6))
    # Half of five are two and a half: both that are right, and half of one that is wrong.
    assert [float(share.value[0]) for share in shares] == pytest.approx([3 / 5, 3 / 4, 2 / 3, 2 / 2.5, 1])
    assert [float(share.n[0]) for share in shares] == pytest.approx([5, 4, 3, 2.5, 2])


def test_threshold_reaches_the_accuracy_with_one_more_error():
    right = np.array([1, 0, 1, 1, 1, 0, 0, 1], bool)
    certainty = np.array([0.9, 0.8, 0.7, 0.7, 0.6, 0.5, 0.4, np.nan])
    counts = selective.by_certainty(right, certainty, np.ones((1, 8)))
    # Right among those kept and one more: 1 of 2, 1 of 3, 3 of 5, 4 of 6, 4 of 7, 4 of 8. Then the middle to the next.
    for wanted, threshold in ((0.7, np.inf), (2 / 3, 0.55), (0.6, 0.55), (4 / 7, 0.45), (0.5, 0.4), (0.1, 0.4)):
        assert selective.choose_threshold(counts, wanted) == pytest.approx(threshold)
    # Two that come together count as two more: 4 of 8 and of 9, no longer.
    assert selective.choose_threshold(counts, 0.5, more=2) == pytest.approx(0.45)
    assert (
        selective.choose_threshold(selective.by_certainty(right[1:2], certainty[1:2], np.ones((1, 1))), 0.5) == np.inf
    )


def test_lowest_area_allows_for_one_more_wrong_prediction():
    certainty = np.linspace(0.9, 0.5, 8)
    # The last is wrong: (7 + 7 log(8 / 7)) / 8. It takes 1 - 7 log(8 / 7) of an eighth, one at random an eighth.
    last = selective.measure(selective.by_certainty(np.arange(8) < 7, certainty, np.ones((1, 8))))["area"]
    assert last.value[0] == pytest.approx((7 + 7 * np.log(8 / 7)) / 8)
    assert 1 - last.lowest[0] == pytest.approx((1 - 7 * np.log(8 / 7) + 1) / 2)
    # The most certain wrong one is the fourth of eight, and takes log(8 / 4).
    rights = np.array([1, 1, 1, 0, 0, 0, 0, 0], bool)
    fourth = selective.measure(selective.by_certainty(rights, certainty, np.ones((1, 8))))["area"]
    assert 1 - fourth.lowest[0] == pytest.approx(np.log(2))
    for rights, lack in ((np.ones(8, bool), 1), (np.arange(8) > 0, 1)):
        area = selective.measure(selective.by_certainty(rights, certainty, np.ones((1, 8))))["area"]
        assert 1 - area.lowest[0] == lack and area.highest[0] == 1


@pytest.mark.parametrize(("count", "sure"), [(20, 1.0), (50, 2.0), (110, 1.5)])
def test_new_predictions_above_the_threshold_reach_the_accuracy(count, sure):
    """Calibrated confidences and small validation sets: the observed rate itself would give less than 0.9."""
    rng = np.random.default_rng(0)
    confidence = expit(np.sort(rng.normal(sure, 1.5, 4000)))
    right_above = np.append(np.cumsum(confidence[::-1])[::-1] / np.arange(4000, 0, -1), np.nan)
    accuracies = []
    for _ in range(1000):
        seen = expit(rng.normal(sure, 1.5, count))
        counts = selective.by_certainty(rng.random(count) < seen, seen, np.ones((1, count)))
        accuracies.append(right_above[np.searchsorted(confidence, selective.choose_threshold(counts, 0.9))])
    accuracies = np.array(accuracies)
    assert np.where(np.isnan(accuracies), 1, accuracies).mean() >= 0.9  # without a decision none is wrong
    if count >= 50:
        assert np.nanmean(accuracies) >= 0.9 and np.isfinite(accuracies).mean() > 0.9


def test_area_equals_the_integral_of_the_curve():
    rng = np.random.default_rng(0)
    right, certainty = rng.random(40) < 0.7, np.round(rng.random(40), 1)
    counts = selective.by_certainty(right, certainty, rng.integers(0, 3, (4, 40)).astype(float))
    for k, area in enumerate(selective.area(counts)):
        one = type(counts)(counts.thresholds, counts.true_positives[k : k + 1], counts.false_positives[k : k + 1])
        integral, _ = quad(lambda share, one=one: selective.accuracy(one, (share,))[0].value[0], 0, 1, limit=500)
        assert area == pytest.approx(integral, abs=1e-4)


def test_area_of_uninformative_certainty_equals_the_accuracy():
    right = np.array([1, 0, 1, 1], bool)
    assert selective.area(selective.by_certainty(right, np.ones(4), np.ones((1, 4)))) == pytest.approx(3 / 4)
    best, worst = (
        selective.area(selective.by_certainty(right, c, np.ones((1, 4))))[0] for c in (1.0 * right, 1.0 - right)
    )
    assert worst < 3 / 4 < best == pytest.approx(3 / 4 - 3 / 4 * np.log(3 / 4))  # 1, then 3/4 over the share kept


def test_vote_convergence_is_hypergeometric():
    votes, probabilities = np.array([[7, 3], [0, 10], [0, 0]]), np.array([[0.6, 0.4], [0.1, 0.9], [np.nan, np.nan]])
    convergence = vote_convergence.vote_convergence(
        votes, probabilities, np.array([1, 1, 1]), sizes=(1, 5, 10, 25), draws=20_000
    )
    assert list(convergence) == [1, 5, 10]
    stays = hypergeom(10, 7, 5).sf(2)
    np.testing.assert_allclose(convergence[5]["stability"], [stays, 1, np.nan], atol=0.01)
    np.testing.assert_allclose(convergence[5]["accuracy"], [1 - stays, 1, 0], atol=0.01)
    shares = [max(hits, 5 - hits) / 5 * hypergeom(10, 7, 5).pmf(hits) for hits in range(6)]
    np.testing.assert_allclose(convergence[5]["vote_fraction"], [sum(shares), 1, np.nan], atol=0.01)
    np.testing.assert_allclose(convergence[1]["stability"], [0.7, 1, np.nan], atol=0.01)
    np.testing.assert_array_equal(convergence[10]["stability"], [1, 1, np.nan])


def test_vote_convergence_with_unequal_numbers_of_votes():
    votes, probabilities = np.array([[3, 9], [2, 0]]), np.full((2, 2), 0.5)
    convergence = vote_convergence.vote_convergence(votes, probabilities, np.array([1, 0]), sizes=(5,), draws=50)
    assert list(convergence) == [5, 12] and convergence[5]["vote_fraction"][1] == convergence[5]["stability"][1] == 1
    np.testing.assert_array_equal(convergence[12]["vote_fraction"], [0.75, 1])


def test_vote_convergence_ends_with_all_patches():
    convergence = vote_convergence.vote_convergence(
        np.array([[40, 20], [29, 31]]), np.full((2, 2), 0.5), np.array([0, 0])
    )
    assert list(convergence) == [1, 2, 5, 10, 25, 50, 60]
    assert convergence[60]["stability"].tolist() == [1, 1] and convergence[60]["accuracy"].tolist() == [1, 0]


def test_tie_of_all_votes_goes_to_probability_and_of_fewer_to_chance():
    convergence = vote_convergence.vote_convergence(
        np.array([[5, 5]]), np.array([[0.4, 0.6]]), np.array([1]), sizes=(2, 10), draws=20_000
    )
    assert convergence[10]["accuracy"] == 1
    np.testing.assert_allclose(convergence[2]["accuracy"], 0.5, atol=0.02)


def test_every_radiograph_is_in_one_subgroup_of_each_attribute():
    rows = [
        {"source": "a", "sex": "M", "age": 17.9, "view": "PA"},
        {"source": "a", "sex": "female", "age": 18.0, "view": "AP"},
        {"source": "b", "sex": " f ", "age": 65.0, "view": ""},
        {"source": "", "sex": "?", "age": float("nan"), "view": "AP"},
    ]
    groups = {name: {k: v.tolist() for k, v in parts.items()} for name, parts in subgroups.partition(rows).items()}
    assert groups == {
        "source": {"a": [0, 1], "b": [2], "unknown": [3]},
        "sex": {"female": [1, 2], "male": [0], "unknown": [3]},
        "age": {"under 18": [0], "18 to 39": [1], "65 and over": [2], "unknown": [3]},
        "view": {"AP": [1, 3], "PA": [0], "unknown": [2]},
    }
    assert [list(parts)[-1] for parts in groups.values()] == ["unknown"] * 4
    assert list(subgroups.partition([{"source": "a"}, {"source": "a"}])) == ["source"]  # rows of an older form
    assert [subgroups.band(age) for age in (0, 39.99, 40, 100, -1)] == [
        "under 18", "18 to 39", "40 to 64", "65 and over", "unknown",
    ]  # fmt: skip
