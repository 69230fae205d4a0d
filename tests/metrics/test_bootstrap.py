"""Bootstrap weights and the coverage of intervals, by simulation of patients with several radiographs."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtri
from sklearn.metrics import average_precision_score

from cxrjax.metrics import bootstrap, calibration, classification, confidence, intervals, selective

CLASSES = ["normal", "viral", "covid19"]


def test_a_resample_draws_patients_with_all_their_radiographs(monkeypatch):
    patients = np.array(["a", "b", "b", "c", "c", "c", "d"])
    first, *blocks = bootstrap.bootstrap_weights(patients, 500, seed=0)
    weights = np.concatenate(blocks)
    assert (first == 1).all() and weights.shape == (500, 7)
    for patient in "bc":
        assert (weights[:, patients == patient] == weights[:, patients == patient][:, :1]).all()
    counts = weights[:, np.unique(patients, return_index=True)[1]]
    assert (counts.sum(1) == 4).all()
    # A patient is drawn Binomial(4, 1/4) times: mean 1, variance 3/4, within four standard errors.
    assert np.abs(counts.mean(0) - 1).max() < 4 * np.sqrt(0.75 / 500)
    assert np.abs(counts.var(0) - 0.75).max() < 0.25
    monkeypatch.setattr(bootstrap, "_PATIENT_CELLS", 1)
    np.testing.assert_array_equal(np.concatenate(list(bootstrap.bootstrap_weights(patients, 500, seed=0))[1:]), weights)
    assert not (np.concatenate(list(bootstrap.bootstrap_weights(patients, 500, seed=1))[1:]) == weights).all()


def test_design_effect_by_hand():
    assert bootstrap.design_effect(list("abcd")) == 1
    assert bootstrap.design_effect(list("aabbcc")) == 2
    assert bootstrap.design_effect(list("abbb")) == (1 + 9) / 4


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
    return [confidence.values(tree)]


def test_weighted_scores_equal_scores_of_the_resampled_rows(cases):
    """Each resample is also written out row by row and scored as a separate data set."""
    truth, found, probabilities, patients = cases
    bins, right = calibration.equal_count_bins(probabilities[:, 0]), truth == found

    def measure(rows, weights):
        t, f, p = truth[rows], found[rows], probabilities[rows]
        counts = selective.by_certainty(right[rows], p.max(1), weights)
        curve = calibration.reliability(p[:, 0], t == 0, bins[rows], weights)
        tree = classification.measure_predictions(t, f, p, CLASSES, weights)
        return tree | {"selective_prediction": selective.measure(counts), "ece": calibration.calibration_error(curve)}

    rows = np.arange(80)
    together = leaves(bootstrap.bootstrap(lambda w: measure(rows, w), patients, 60))
    weights = np.concatenate(list(bootstrap.bootstrap_weights(patients, 60, seed=0)))
    for k, weight in enumerate(weights):
        drawn = np.repeat(rows, weight.astype(int))
        alone = leaves(measure(drawn, np.ones((1, len(drawn)))))
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_allclose(a[k], b[0], rtol=1e-12, atol=1e-14)


def test_weighted_brier_score_equals_that_of_the_resampled_rows(cases):
    truth, found, probabilities, patients = cases
    found = np.minimum(found, 2)
    tree = bootstrap.bootstrap(calibration.prepare_calibration(probabilities, truth, found), patients, 20)
    for k, weight in enumerate(np.concatenate(list(bootstrap.bootstrap_weights(patients, 20, seed=0)))):
        drawn = np.repeat(np.arange(80), weight.astype(int))
        squares = (probabilities[drawn] - np.eye(3)[truth[drawn]]) ** 2
        assert tree["brier"].value[k] == pytest.approx(squares.sum(1).mean())
        parts = confidence.values(tree["reliability"])[k] - confidence.values(tree["resolution"])[k]
        assert parts + tree["uncertainty"][k] + tree["within_bins"][k] == pytest.approx(tree["brier"].value[k])


def test_summary_has_the_value_of_the_data_and_null_if_undefined():
    values = np.append(0.5, np.linspace(0, 1, 41))
    score = confidence.summarize({"n": np.full(42, 1e6), "x": values, "y": np.full(42, np.nan)})
    assert score["x"] == {"value": 0.5, "interval": pytest.approx([0.025, 0.975], abs=1e-4), "n": 1_000_000}
    assert score["y"] == {"value": None, "interval": None, "n": 1_000_000}
    share = confidence.Proportion(np.ones(3), np.full(3, 20.0))  # resamples of 20 of 20 never vary
    # Clopper and Pearson's lower end x has x^n = 0.025, of 20 radiographs and of 10 patients.
    assert confidence.summarize(share)["interval"] == pytest.approx([0.831566, 1], abs=1e-6)
    assert confidence.summarize(share, list("abcdefghij") * 2)["interval"] == pytest.approx([0.691503, 1], abs=1e-6)
    noise, right = np.append(0, np.linspace(0, 0.04, 41)), confidence.Proportion(np.full(42, 0.0), np.full(42, 9.0))
    pushed_up = confidence.BiasedEstimate(0.1 + noise, noise, noise / 2, np.zeros(42), right, np.zeros(42))
    assert confidence.summarize(pushed_up, n=9)["interval"] == pytest.approx([0.1 - 0.039, 0.1 + 0.0195])
    # No error of nine is seen, but up to 1 - 0.025^(1 / 9) = 0.336 may be: a gap may be by so much smaller or larger.
    unseen = confidence.summarize(pushed_up._replace(value=0.5 + noise, rise=np.ones(42)), n=9)["interval"]
    assert unseen == pytest.approx([0.5 - 0.039 - 0.3363, 0.5 + 0.0195 + 0.3363], abs=1e-4)
    by_chance = pushed_up._replace(chance=np.full(42, 0.09))
    assert confidence.summarize(by_chance, n=9)["interval"][0] == pytest.approx(0.1 - 0.039)
    assert confidence.summarize(by_chance, list("abcaabbcc"), n=9)["interval"][0] == 0


def test_constant_resamples_have_no_interval_except_proportions():
    rounding = 0.7 + np.array([0, 1e-16, -1e-16, 0])
    mean = confidence.MeanEstimate(rounding, np.full(4, 5.0), np.full(4, 0.3), np.ones(4))
    for leaf in (rounding, mean):
        assert confidence.summarize(leaf, n=9)["interval"] is None
    assert confidence.summarize(mean, n=9)["n"] == 5
    # As if a patient's radiographs were all alike.
    alike = confidence.summarize(confidence.Proportion(rounding, np.full(4, 10.0)))
    assert alike["interval"] == pytest.approx(stats.beta.ppf([0.025, 0.975], 7.5, 3.5))


def spread(value, deviation):
    """Return a value, and two resamples of this mean and deviation."""
    return value + deviation * np.array([0.0, -1, 1])


def test_interval_of_a_proportion_is_that_of_jeffreys():
    """Brown, Cai and DasGupta 2001: Beta of h + 1/2 and m + 1/2; 0 below a single hit, 1 above a single miss."""
    share = confidence.Proportion(spread(0.7, np.sqrt(0.7 * 0.3 / 20)), np.full(3, 20.0))
    assert confidence.summarize(share)["interval"] == pytest.approx(stats.beta.ppf([0.025, 0.975], 14.5, 6.5))
    one_missed = confidence.Proportion(spread(0.95, np.sqrt(0.95 * 0.05 / 20)), np.full(3, 20.0))
    low, high = confidence.summarize(one_missed)["interval"]
    assert (low, high) == (pytest.approx(stats.beta.ppf(0.025, 19.5, 1.5)), 1)
    missed = confidence.Proportion(1 - one_missed.value, one_missed.n)
    assert confidence.summarize(missed)["interval"] == pytest.approx([0, 1 - low])


def test_interval_of_f1_follows_from_its_jaccard_index():
    """12 true, 4 false and 4 missed positives: F1 24 / 32, J 12 / 20; F1 = 2 J / (1 + J)."""
    jaccard = spread(0.6, np.sqrt(0.6 * 0.4 / 20))
    f1 = 2 * jaccard / (1 + jaccard)
    ends = stats.beta.ppf([0.025, 0.975], 12.5, 8.5)
    described = confidence.summarize(confidence.F1(f1, 20 / (2 - f1)))
    assert described["value"] == pytest.approx(0.75) and described["interval"] == pytest.approx(2 * ends / (1 + ends))


def test_duplicated_radiographs_of_patients_do_not_change_the_interval():
    ends = []
    for rows in (np.arange(60), np.repeat(np.arange(60), 2)):
        measure = lambda w, right=rows < 42: confidence.proportion(w @ right, w.sum(1))  # noqa: E731
        ends.append(confidence.summarize(bootstrap.bootstrap(measure, rows), rows)["interval"])
    once, twice = ends
    assert twice == pytest.approx(once, abs=0.005)
    assert once == pytest.approx(stats.beta.ppf([0.025, 0.975], 42.5, 18.5), abs=0.005)


def test_interval_of_a_mean_is_that_of_fay_and_feuer():
    """Seven of 10,000 lack 1: a sum of Poisson counts, with the exact ends of seven of Garwood 1936."""
    n = 10_000
    extremes = np.zeros(3), np.ones(3)
    mean = confidence.MeanEstimate(1 - spread(7.0, np.sqrt(7)) / n, np.full(3, float(n)), *extremes)
    low, high = confidence.summarize(mean)["interval"]
    assert [n * (1 - high), n * (1 - low)] == pytest.approx([2.814, 14.423], rel=2e-3)
    # Unequal lacks: Fay and Feuer 1997, of a sum y, its variance v and the largest weight w.
    y, v, w = 0.004, 2e-7, 0.8 / n
    mean = confidence.MeanEstimate(spread(1 - y, np.sqrt(v)), np.full(3, float(n)), np.full(3, 0.2), np.ones(3))
    low, high = confidence.summarize(mean)["interval"]
    assert 1 - high == pytest.approx(v / (2 * y) * stats.chi2.ppf(0.025, 2 * y**2 / v), rel=5e-3)
    above = (v + w**2) / (2 * (y + w)) * stats.chi2.ppf(0.975, 2 * (y + w) ** 2 / (v + w**2))
    assert 1 - low == pytest.approx(above, rel=5e-3)


def test_interval_of_a_mean_is_mirrored_with_its_values():
    rng = np.random.default_rng(0)
    values = np.where(rng.random(50) < 0.1, 0, 1 - 0.1 * rng.random(50))
    ends = []
    for each in (values, 1 - values):
        drawn = bootstrap.bootstrap(lambda w, each=each: confidence.mean_estimate(each, w), np.arange(50))
        ends.append(confidence.summarize(drawn)["interval"])
    (low, high), mirrored = ends
    assert 0 < low < values.mean() < high < 1 and mirrored == pytest.approx([1 - high, 1 - low])


def test_mean_estimate_ignores_nan_and_has_lowest_and_highest_value():
    mean = confidence.mean_estimate(np.array([0.875, 0.25, np.nan, 0.5]), np.array([[1.0, 1, 1, 1], [2, 0, 1, 1]]))
    assert mean.value.tolist() == [1.625 / 3, 2.25 / 3] and mean.n.tolist() == [3, 3]
    assert mean.lowest.tolist() == [0.25, 0.25] and mean.highest.tolist() == [0.875, 0.875]


def test_interval_of_a_macro_mean_adds_up_misses_of_classes():
    """Three misses of 1,000 in each of four classes are twelve of 4,000: Garwood's lower end of twelve is 6.201."""
    rng = np.random.default_rng(0)
    misses = np.concatenate([np.full((1, 4), 3.0), rng.poisson(3, (20_000, 4))])
    shares = [confidence.Proportion(1 - each / 1000, np.full(len(misses), 1000.0)) for each in misses.T]
    low, high = confidence.summarize(confidence.mean_of(shares), n=4000)["interval"]
    assert 4000 * (1 - high) == pytest.approx(6.201, rel=0.02)
    assert 12 < 4000 * (1 - low) < 25


def test_interval_of_recall_uses_the_patients_of_its_class():
    """400 patients of one radiograph, and a class of five patients with ten each, all right: five patients tell it."""
    patients = [f"a{i}" for i in range(400)] + [f"b{i}" for i in range(5) for _ in range(10)]
    truth = np.array([0] * 400 + [1] * 50)
    drawn = bootstrap.bootstrap(
        lambda w: classification.measure_predictions(truth, truth, None, ["a", "b"], w), patients, 2000
    )
    class_scores = confidence.summarize(drawn, patients)["classes"]
    assert class_scores["b"]["recall"]["interval"] == pytest.approx([0.025 ** (1 / 5), 1], abs=0.01)
    assert class_scores["a"]["recall"]["interval"] == pytest.approx([0.025 ** (1 / 400), 1], abs=1e-3)


def test_intervals_of_clustered_proportions_cover_the_truth():
    """85% of the patients are right in all ten radiographs: once, only 0.5 of the intervals covered the truth."""
    rng = np.random.default_rng(2)
    patients = [f"a{i}" for i in range(400)] + [f"b{i}" for i in range(5) for _ in range(10)]
    truth, covered = np.array([0] * 400 + [1] * 50), []
    for k in range(100):
        found = np.where(np.append(rng.random(400) < 0.9, np.repeat(rng.random(5) < 0.85, 10)), truth, 1 - truth)
        measure = lambda w, found=found: confidence.proportion(w @ ((truth == 1) & (found == 1)), w @ (truth == 1))  # noqa: E731
        low, high = confidence.summarize(bootstrap.bootstrap(measure, patients, 200, k), patients)["interval"]
        covered.append(low <= 0.85 <= high)
    assert np.mean(covered) >= 0.93


def test_intervals_of_a_rare_class_of_few_patients_cover_the_truth(unchecked_types):
    """A class of 5% and a precision of 1/3: once, 0.88 of the intervals covered it, as few patients had the hits."""
    rng, covered, flattering = np.random.default_rng(3), [], []
    for k in range(400):
        patients = np.repeat(np.arange(328), rng.choice([1, 1, 2, 3, 5, 8], 328))[:328]
        positive = (rng.random(328) < 0.05)[patients]
        called = rng.random(328) < np.where(positive, 0.76, 0.08)
        measure = lambda w, x=(positive & called, called): confidence.proportion(w @ x[0], w @ x[1])  # noqa: E731
        score = confidence.summarize(bootstrap.bootstrap(measure, patients, 200, k), patients)
        low, high = score["interval"]
        covered.append(low <= 1 / 3 <= high)
        flattering.append(low > 1 / 3)
    assert np.mean(covered) >= 0.93 and np.mean(flattering) <= 0.04


def test_one_patient_is_not_resampled():
    right = np.array([1.0, 1, 0, 1, 1])
    drawn = bootstrap.bootstrap(lambda w: confidence.proportion(w @ right, w.sum(1)), ["a"] * 5)
    assert drawn.value.tolist() == [0.8] and confidence.summarize(drawn)["interval"] is None


def test_each_missing_patient_id_is_a_separate_patient():
    assert len(set(bootstrap.fill_missing_patients(["a", "", "a", ""]))) == 3


def draw_patients(rng, count):
    """Draw patients with one to five radiographs; the probability of being right is 0.8 on average."""
    sizes = rng.integers(1, 6, count)
    patients = np.repeat(np.arange(count), sizes)
    return patients, rng.random(len(patients)) < rng.beta(2, 0.5, count)[patients]


def test_95_percent_of_accuracy_intervals_cover_the_truth(unchecked_types):
    rng = np.random.default_rng(0)
    covered = np.zeros((1500, 2))
    for k in range(len(covered)):
        patients, right = draw_patients(rng, 60)
        for j, groups in enumerate((patients, np.arange(len(right)))):
            measure = lambda w, right=right: confidence.proportion(w @ right, w.sum(1))  # noqa: E731
            drawn = bootstrap.bootstrap(measure, groups, resamples=200, seed=k)
            low, high = confidence.summarize(drawn, groups)["interval"]
            covered[k, j] = low <= 0.8 <= high
    by_patient, by_radiograph = covered.mean(0)
    assert 0.93 <= by_patient <= 0.97
    assert by_radiograph < 0.88  # as if patients were ignored


def test_newcombes_interval_of_an_auroc_by_hand():
    """Newcombe 2006: both ends solve |A - a| = z sqrt(V(a)), with Hanley and McNeil's V at the mean of both numbers."""
    low, high = bound_auroc(0.9, 10, 90)
    for end in (low, high):
        spread = 1 + 49 * ((1 - end) / (2 - end) + end / (1 + end))
        assert (0.9 - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) * spread / 900, rel=1e-5)
    assert low < 0.9 < high < 1
    low, high = bound_auroc(1.0, 10, 90)
    assert high == 1 and 0.7 < low < 0.9
    assert bound_auroc(0.0, 10, 90) == pytest.approx([0, 1 - low])


def bound_auroc(area, positives, negatives):
    leaf = confidence.Auroc(np.full(3, area), np.full(3, float(positives)), np.full(3, float(negatives)))
    return confidence.summarize(leaf, n=positives + negatives)["interval"]


@pytest.mark.parametrize(("area", "positives", "negatives"), [(0.9, 10, 90), (0.97, 5, 35), (0.97, 45, 283)])
def test_intervals_of_areas_near_1_cover_the_truth(area, positives, negatives, unchecked_types):
    """Percentiles covered 0.86, 0.69 and 0.89, nearly always too high, and a quarter of the second had none."""
    rng = np.random.default_rng(4)
    positive = np.arange(positives + negatives) < positives
    names = np.arange(len(positive))
    above, covered = np.zeros(2), np.zeros(2)
    step = ndtri(area) * np.sqrt(2)
    share = np.arange(200_000) < 200_000 * positives / len(names)
    many = rng.normal(size=200_000) + step * share
    truth = np.array([area, average_precision_score(share, many)])
    for k in range(200):
        scores = rng.normal(size=len(names)) + step * positive
        measure = lambda w, s=scores: classification.measure_areas(positive, s, w)  # noqa: E731
        of = confidence.summarize(bootstrap.bootstrap(measure, names, 100, k), names)
        low, high = np.transpose([of[name]["interval"] for name in ("auroc", "average_precision")])
        covered += (low <= truth) & (truth <= high)
        above += truth < low
    assert (covered / 200 >= 0.92).all()
    assert (above / 200 <= 0.05).all()


def test_95_percent_of_auroc_intervals_by_patient_cover_the_truth(unchecked_types):
    """A patient's radiographs share truth and part of the error. Normals of deviation 1, one apart: Phi(1 / √2)."""
    rng, covered = np.random.default_rng(0), []
    for k in range(300):
        sizes = rng.integers(1, 5, 80)
        patients = np.repeat(np.arange(80), sizes)
        positive = (rng.random(80) < 0.5)[patients]
        scores = positive + 0.8 * rng.normal(size=80)[patients] + 0.6 * rng.normal(size=len(patients))
        measure = lambda w, x=(positive, scores): classification.measure_areas(*x, w)["auroc"]  # noqa: E731
        drawn = bootstrap.bootstrap(measure, patients, resamples=200, seed=k)
        low, high = confidence.summarize(drawn, patients)["interval"]
        covered.append(low <= 0.7602499 <= high)
    assert 0.92 <= np.mean(covered) <= 0.98


def test_intervals_of_sums_follow_from_those_of_their_parts():
    """Zou and Donner 2008: independent parts add the squares of their reaches, parts that go together the reaches."""
    ends, values = np.array([[0.7, 0.85], [0.4, 0.65]]), np.array([0.8, 0.5])
    apart = intervals.combine(0.3, ends, values, np.array([1.0, -1.0]), np.eye(2))
    assert apart == pytest.approx((0.3 - np.hypot(0.1, 0.15), 0.3 + np.hypot(0.05, 0.1)))
    together = intervals.combine(0.65, ends, values, np.array([0.5, 0.5]), np.ones((2, 2)))
    assert together == pytest.approx((0.65 - 0.1, 0.65 + 0.1))
    low, high = intervals.bound_ratio(values, ends, 0.0)
    for end in (low, high):
        reach = intervals.combine(0.8 - end * 0.5, ends, values, np.array([1.0, -end]), np.eye(2))
        assert min(abs(np.array(reach))) == pytest.approx(0, abs=1e-6)
    assert low < 1.6 < high
