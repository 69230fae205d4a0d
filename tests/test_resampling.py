"""Weights are resamples, and the intervals hold what they promise: by simulation, of patients with many radiographs."""

import numpy as np
import pytest

from cxrjax import metrics
from cxrjax.statistics import calibration, estimates, proportions, ranking, referral, resampling

CLASSES = ["normal", "viral", "covid19"]


def test_a_resample_draws_patients_with_all_their_radiographs(monkeypatch):
    patients = np.array(["a", "b", "b", "c", "c", "c", "d"])
    first, *blocks = resampling.weigh(patients, 500, seed=0)
    weights = np.concatenate(blocks)
    assert (first == 1).all() and weights.shape == (500, 7)
    for of in "bc":
        assert (weights[:, patients == of] == weights[:, patients == of][:, :1]).all()
    counts = weights[:, np.unique(patients, return_index=True)[1]]
    assert (counts.sum(1) == 4).all()
    # A patient is drawn Binomial(4, 1/4) times: mean 1, variance 3/4, within four standard errors.
    assert np.abs(counts.mean(0) - 1).max() < 4 * np.sqrt(0.75 / 500)
    assert np.abs(counts.var(0) - 0.75).max() < 0.25
    monkeypatch.setattr(resampling, "_CELLS", 1)
    np.testing.assert_array_equal(np.concatenate(list(resampling.weigh(patients, 500, seed=0))[1:]), weights)
    assert not (np.concatenate(list(resampling.weigh(patients, 500, seed=1))[1:]) == weights).all()


def test_crowding_by_hand():
    assert resampling.crowding(list("abcd")) == 1
    assert resampling.crowding(list("aabbcc")) == 2
    assert resampling.crowding(list("abbb")) == (1 + 9) / 4


@pytest.fixture(scope="module")
def cases():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 80)
    probabilities = np.round(rng.dirichlet(np.ones(3), 80) + 0.4 * np.eye(3)[truth], 1)
    probabilities /= probabilities.sum(1, keepdims=True)
    found = np.where(rng.random(80) < 0.05, 3, probabilities.argmax(1))
    return truth, found, probabilities, rng.integers(0, 50, 80)


def leaves(tree):
    if isinstance(tree, dict):
        return [leaf for part in tree.values() for leaf in leaves(part)]
    return [estimates.values(tree)]


def test_every_score_over_weights_is_that_of_the_rows_drawn(cases):
    """The loop that the weights stand for: each resample written out row by row, and scored as data of its own."""
    truth, found, probabilities, patients = cases
    bins, right = calibration.bin_equally(probabilities[:, 0]), truth == found

    def measure(rows, weights):
        t, f, p = truth[rows], found[rows], probabilities[rows]
        kept = referral.keep(right[rows], p.max(1), weights)
        curve = calibration.reliability(p[:, 0], t == 0, bins[rows], weights)
        tree = metrics.measure_findings(t, f, p, CLASSES, weights)
        return tree | {"referral": referral.measure(kept), "ece": calibration.calibration_error(curve)}

    rows = np.arange(80)
    together = leaves(resampling.bootstrap(lambda w: measure(rows, w), patients, 60))
    weights = np.concatenate(list(resampling.weigh(patients, 60, seed=0)))
    for k, weight in enumerate(weights):
        drawn = np.repeat(rows, weight.astype(int))
        alone = leaves(measure(drawn, np.ones((1, len(drawn)))))
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_allclose(a[k], b[0], rtol=1e-12, atol=1e-14)


def test_the_brier_score_over_weights_is_that_of_the_rows_drawn(cases):
    truth, found, probabilities, patients = cases
    found = np.minimum(found, 2)
    tree = resampling.bootstrap(calibration.prepare(probabilities, truth, found), patients, 20)
    for k, weight in enumerate(np.concatenate(list(resampling.weigh(patients, 20, seed=0)))):
        drawn = np.repeat(np.arange(80), weight.astype(int))
        squares = (probabilities[drawn] - np.eye(3)[truth[drawn]]) ** 2
        assert tree["brier"][k] == pytest.approx(squares.sum(1).mean())
        parts = estimates.values(tree["reliability"])[k] - estimates.values(tree["resolution"])[k]
        assert parts + tree["uncertainty"][k] + tree["within"][k] == pytest.approx(tree["brier"][k])


def test_the_value_is_that_of_the_data_and_what_cannot_be_earned_is_null():
    values = np.append(0.5, np.linspace(0, 1, 41))
    score = estimates.describe({"n": np.full(42, 9.0), "x": values, "y": np.full(42, np.nan)})
    assert score["x"] == {"value": 0.5, "interval": pytest.approx([0.025, 0.975]), "n": 9}
    assert score["y"] == {"value": None, "interval": None, "n": 9} and score["n"] == 9
    share = estimates.Share(np.array([1.0, 1, 1]), np.array([20.0, 20, 20]))  # resamples of 20 of 20 never vary
    assert estimates.describe(share)["interval"] == list(proportions.wilson(1, 20))
    assert estimates.describe(share, crowding=2)["interval"] == list(proportions.wilson(1, 10))
    noise = np.append(0, np.linspace(0, 0.04, 41))
    pushed_up = estimates.Inflated(0.1 + noise, noise, noise / 2, np.zeros(42))
    assert estimates.describe(pushed_up, n=9)["interval"] == pytest.approx([0.1 - 0.039, 0.1 + 0.0195])
    by_chance = pushed_up._replace(chance=np.full(42, 0.09))
    assert estimates.describe(by_chance, n=9)["interval"][0] == pytest.approx(0.1 - 0.039)
    assert estimates.describe(by_chance, crowding=2, n=9)["interval"][0] == 0


def test_what_no_resample_moves_has_no_interval():
    rounding = 0.7 + np.array([0, 1e-16, -1e-16, 0])
    for leaf in (rounding, estimates.Mean(rounding, np.full(4, 5.0)), estimates.Share(rounding, np.full(4, 5.0))):
        assert estimates.describe(leaf, n=9)["interval"] is None
    assert estimates.describe(estimates.Mean(rounding, np.full(4, 5.0)), n=9)["n"] == 5


def test_one_patient_is_not_resampled():
    right = np.array([1.0, 1, 0, 1, 1])
    drawn = resampling.bootstrap(lambda w: estimates.share(w @ right, w.sum(1)), ["a"] * 5)
    assert drawn.value.tolist() == [0.8] and estimates.describe(drawn)["interval"] is None


def test_who_has_no_name_is_a_patient_each_time():
    assert len(set(resampling.name_patients(["a", "", "a", ""]))) == 3


def draw_patients(rng, count):
    """One to five radiographs a patient, whose chance of being right is a patient's own: 0.8 on average."""
    sizes = rng.integers(1, 6, count)
    patients = np.repeat(np.arange(count), sizes)
    return patients, rng.random(len(patients)) < rng.beta(2, 0.5, count)[patients]


def test_95_percent_of_the_intervals_of_an_accuracy_hold_the_truth():
    rng = np.random.default_rng(0)
    held = np.zeros((1500, 2))
    for k in range(len(held)):
        patients, right = draw_patients(rng, 60)
        for j, of in enumerate((patients, np.arange(len(right)))):
            measure = lambda w, right=right: estimates.share(w @ right, w.sum(1))  # noqa: E731
            drawn = resampling.bootstrap(measure, of, resamples=200, seed=k)
            low, high = estimates.describe(drawn, resampling.crowding(of))["interval"]
            held[k, j] = low <= 0.8 <= high
    by_patient, by_radiograph = held.mean(0)
    assert 0.93 <= by_patient <= 0.97
    assert by_radiograph < 0.88  # what ignoring the patients would do


def test_95_percent_of_the_intervals_of_an_auroc_hold_the_truth():
    """A patient's radiographs share truth and part of the error. Normals of deviation 1, one apart: Phi(1 / √2)."""
    rng, held = np.random.default_rng(0), []
    for k in range(1000):
        sizes = rng.integers(1, 5, 80)
        patients = np.repeat(np.arange(80), sizes)
        positive = (rng.random(80) < 0.5)[patients]
        scores = positive + 0.8 * rng.normal(size=80)[patients] + 0.6 * rng.normal(size=len(patients))
        measure = lambda w, x=(positive, scores): ranking.auroc(ranking.rank(*x, w))  # noqa: E731
        drawn = resampling.bootstrap(measure, patients, resamples=200, seed=k)
        low, high = estimates.describe(drawn, n=len(patients))["interval"]
        held.append(low <= 0.7602499 <= high)
    assert 0.93 <= np.mean(held) <= 0.97
