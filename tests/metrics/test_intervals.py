"""Proportions and paired tests: published and hand-worked numbers, definitions, and simulated levels."""

import itertools

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import binomtest

from cxrjax.metrics import hypothesis_tests, intervals


@pytest.mark.parametrize(
    "hits, n, low, high",
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_equals_newcombe_1998_table_1(hits, n, low, high):
    assert intervals.wilson(hits / n, n) == pytest.approx((low, high), abs=5e-5)
    mirrored = intervals.wilson(1 - hits / n, n)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=5e-5) and 0 <= mirrored[0] <= mirrored[1] <= 1


def test_paired_test_of_single_radiographs_equals_mcnemar():
    for first, second in itertools.product(range(0, 40, 3), range(1, 40, 3)):
        p = hypothesis_tests.mcnemar_test(np.repeat([1, -1, 0], [first, second, 50]))
        assert p == pytest.approx(binomtest(first, first + second).pvalue, rel=1e-9)


def test_paired_test_by_hand():
    # Of 20 coins at most 5 heads: (1 + 20 + 190 + 1140 + 4845 + 15504) / 2**20, and as much on the other side.
    assert hypothesis_tests.mcnemar_test(np.repeat([1, -1], [5, 15])) == pytest.approx(2 * 21700 / 2**20)
    assert hypothesis_tests.mcnemar_test(np.zeros(3, int)) == hypothesis_tests.mcnemar_test(np.array([2, -2])) == 1
    # 3 and 1 and 1: only +++ and --- reach 5, of eight signs; all but 3 - 1 - 1 and its opposite reach 3 + 1 - 1.
    assert hypothesis_tests.mcnemar_test(np.array([3, 1, 1])) == pytest.approx(2 / 8)
    assert hypothesis_tests.mcnemar_test(np.array([3, 1, -1])) == pytest.approx(6 / 8)


def test_paired_test_has_its_level_for_clustered_radiographs():
    """Twelve patients of eight: McNemar's p was below 0.05 in 34% of pairs of equally good runs."""
    rng = np.random.default_rng(0)
    p = []
    for _ in range(400):
        right = rng.random((2, 12, 1)) + 0.2 * rng.random((2, 12, 8)) < 0.7
        p.append(hypothesis_tests.mcnemar_test(right[0].sum(1) - right[1].sum(1)))
    assert np.mean(np.array(p) < 0.05) <= 0.065


def test_holm_by_hand():
    assert hypothesis_tests.holm([0.04, 0.01, 0.03]).tolist() == pytest.approx([0.06, 0.03, 0.06])


def test_delong_by_hand():
    """First: 3 of 4 pairs in order; second: all. Placements less those of the second: 0, -1/2 and -1/2, 0."""
    tested = hypothesis_tests.delong_test([1, 1, 0, 0], [3, 1, 2, 0], [3, 2, 1, 0], list("abcd"))
    assert tested.difference == pytest.approx(-1 / 4)
    assert tested.deviation == pytest.approx(np.sqrt(1 / 8))  # 1/8 of variance on each side, over two radiographs
    assert tested.p == pytest.approx(2 * ndtr(-np.sqrt(1 / 2)))
    assert hypothesis_tests.delong_test([1, 1, 0, 0], [3, 1, 2, 0], [3, 1, 2, 0], list("abcd")) == (0, 0, 1)
    assert hypothesis_tests.delong_test([1, 1, 0, 0], [3, 1, 2, 0], [3, 2, 1, 0], list("aabc")) is None
    assert (
        hypothesis_tests.delong_test([1, 1, 0, 0], [3, 3, 2, 2], [2, 2, 3, 3], list("abcd")) is None
    )  # the same difference in every radiograph
    lost = hypothesis_tests.delong_test([1, 1, 0, 0], [3, np.nan, 2, 0], [3, 2, 1, np.nan], list("abcd"))
    assert lost.difference == pytest.approx(0)  # each loses the two pairs of its missing score


def test_delong_equals_its_definition_over_all_pairs():
    """DeLong et al. 1988, equations 3 to 5, with the covariances of numpy."""
    rng = np.random.default_rng(0)
    positive = rng.random(60) < 0.4
    scores = np.round(rng.normal(size=(2, 60)) + positive * [[1.0], [0.6]], 1)
    kernel = [(s[positive][:, None] > s[~positive]) + 0.5 * (s[positive][:, None] == s[~positive]) for s in scores]
    m, n = positive.sum(), (~positive).sum()
    covariance = np.cov([k.mean(1) for k in kernel]) / m + np.cov([k.mean(0) for k in kernel]) / n
    deviation = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    tested = hypothesis_tests.delong_test(positive, *scores, np.arange(60))
    assert tested.difference == pytest.approx(kernel[0].mean() - kernel[1].mean())
    assert tested.deviation == pytest.approx(deviation)


def test_delong_has_its_level_for_clustered_radiographs():
    """Two equally good scores with independent errors per patient: 5% are significant if grouped by patient."""
    rng = np.random.default_rng(1)
    patients = np.repeat(np.arange(50), 4)
    p = np.empty((800, 2))
    for k in range(len(p)):
        positive = (np.repeat(rng.random(50) < 0.5, 4)) ^ (rng.random(200) < 0.1)
        errors = 0.8 * rng.normal(size=(2, 50))[:, patients] + 0.6 * rng.normal(size=(2, 200))
        first, second = positive + errors
        for j, groups in enumerate((patients, np.arange(200))):
            p[k, j] = hypothesis_tests.delong_test(positive, first, second, groups).p
    by_patient, by_radiograph = (p < 0.05).mean(0)
    assert 0.03 < by_patient < 0.08
    assert by_radiograph > 0.15  # as if patients were ignored
