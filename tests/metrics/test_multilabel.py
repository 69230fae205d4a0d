"""Scores of several findings equal scikit-learn on the known entries of each, and those of a single finding."""

import numpy as np
import pytest
from sklearn import metrics as sklearn

from cxrjax.metrics import bootstrap, calibration, confidence, finding_arrays, multilabel, temperature
from cxrjax.metrics.finding_arrays import FindingArrays

NAN = np.nan


def make(truth, probabilities, names=None):
    """Return arrays of truths 1, 0, -1 (uncertain) and NaN (unknown), called from a probability of 0.5 on."""
    truth = np.array(truth, float)
    probabilities = np.array(probabilities, float)
    names = tuple(names or "abcdefg"[: truth.shape[1]])
    return FindingArrays(names, truth == 1, truth >= 0, truth == -1, probabilities >= 0.5, probabilities)


def draw(seed, n=150, k=3):
    rng = np.random.default_rng(seed)
    positive = rng.random((n, k)) < 0.4
    truth = np.where(rng.random((n, k)) < 0.2, rng.choice([-1, NAN], (n, k)), positive)
    probabilities = np.clip(0.5 + 0.3 * (positive - 0.4) + 0.25 * rng.normal(size=(n, k)), 0.01, 0.99)
    return make(truth, probabilities.round(2)), rng


def evaluate_once(measure, n):
    return confidence.point_estimates(measure(np.ones((1, n))))


def test_finding_scores_of_four_radiographs_by_hand():
    arrays = make([[1, 0], [1, NAN], [0, -1], [0, 1]], [[0.9, 0.2], [0.4, 0.9], [0.6, 0.9], [0.1, NAN]])
    scores = evaluate_once(lambda weights: multilabel.measure_findings(arrays, weights), 4)
    first = scores["classes"]["a"]
    second = scores["classes"]["b"]
    assert (scores["n"], scores["no_prediction"]) == (4, 1)
    assert (first["n"], first["support"], second["n"], second["support"]) == (4, 2, 2, 1)
    assert first["auroc"] == 3 / 4  # of 2 x 2 pairs, only 0.4 against 0.6 is in the wrong order
    assert (first["recall"], first["specificity"], first["precision"], first["f1"]) == (0.5, 0.5, 0.5, 0.5)
    assert (second["recall"], second["specificity"], second["auroc"]) == (0, 1, 0)  # its positive has no prediction
    assert scores["macro"]["auroc"] == (3 / 4 + 0) / 2


@pytest.mark.parametrize("seed", range(3))
def test_every_score_equals_scikit_learn_on_known_entries(seed):
    arrays, rng = draw(seed)
    weights = np.vstack([np.ones(150), rng.integers(0, 3, (2, 150))])
    scores = multilabel.measure_findings(arrays, weights)
    calibrated = multilabel.prepare_calibration(arrays, {})(weights)
    for k, name in enumerate(arrays.findings):
        known = arrays.known[:, k]
        truth = arrays.positive[known, k]
        probability = arrays.probabilities[known, k]
        called = probability >= 0.5
        for r, weight in enumerate(weights[:, known]):
            found = {key: confidence.values(leaf)[r] for key, leaf in scores["classes"][name].items()}
            assert found["auroc"] == pytest.approx(sklearn.roc_auc_score(truth, probability, sample_weight=weight))
            expected = sklearn.average_precision_score(truth, probability, sample_weight=weight)
            assert found["average_precision"] == pytest.approx(expected)
            assert found["recall"] == pytest.approx(sklearn.recall_score(truth, called, sample_weight=weight))
            assert found["precision"] == pytest.approx(sklearn.precision_score(truth, called, sample_weight=weight))
            assert found["f1"] == pytest.approx(sklearn.f1_score(truth, called, sample_weight=weight))
            brier = sklearn.brier_score_loss(truth, probability, sample_weight=weight)
            errors = calibrated["classes"][name]
            assert errors["brier"].value[r] == pytest.approx(brier)
            loss = sklearn.log_loss(truth, probability, sample_weight=weight)
            assert errors["log_loss"].value[r] == pytest.approx(loss)
    means = np.mean([scores["classes"][name]["auroc"].value for name in arrays.findings], 0)
    np.testing.assert_allclose(scores["macro"]["auroc"].value, means)


def test_resampled_scores_equal_their_definitions_on_drawn_rows():
    """The draws are written out, and each score is its definition: pairs, precisions at positives, gaps of bins."""
    arrays, rng = draw(8)
    patients = np.append(np.arange(40), rng.integers(0, 40, 110))
    drawn = np.random.default_rng(3).integers(40, size=(25, 40))
    times = np.array([np.bincount(of_resample, minlength=40) for of_resample in drawn])
    weights = np.vstack([np.ones(150), times[:, patients]])
    tree = bootstrap.bootstrap(multilabel.prepare_findings(arrays), patients, 25, seed=3)
    errors = bootstrap.bootstrap(multilabel.prepare_calibration(arrays, {}), patients, 25, seed=3)
    for k, name in enumerate(arrays.findings):
        known = arrays.rows(k)
        positive = arrays.positive[known, k]
        probability = arrays.probabilities[known, k]
        called = arrays.called[known, k]
        bins = calibration.equal_count_bins(probability)
        wins = (probability[positive][:, None] > probability[~positive]) * 1.0
        wins += 0.5 * (probability[positive][:, None] == probability[~positive])
        reached = probability >= probability[positive][:, None]  # [positives, radiographs]
        for r, weight in enumerate(weights[:, known]):
            scores = {score: confidence.values(leaf)[r] for score, leaf in tree["classes"][name].items()}
            hits = weight[positive]
            misses = weight[~positive]
            assert scores["support"] == hits.sum() and scores["n"] == weight.sum()
            assert scores["auroc"] == hits @ wins @ misses / (hits.sum() * misses.sum())
            assert scores["recall"] == (weight * (called & positive)).sum() / hits.sum()
            assert scores["specificity"] == (weight * ~(called | positive)).sum() / misses.sum()
            precision = (reached * positive * weight).sum(1) / np.maximum((reached * weight).sum(1), 1)
            np.testing.assert_allclose(scores["average_precision"], hits @ precision / hits.sum(), rtol=1e-13)
            gaps = [abs((weight * (probability - positive))[bins == b].sum()) for b in range(bins.max() + 1)]
            error = errors["classes"][name]["ece"].value[r]
            np.testing.assert_allclose(error, sum(gaps) / weight.sum(), rtol=1e-12)


def test_uncertain_and_unknown_entries_do_not_change_scores():
    arrays, rng = draw(3)
    changed = np.where(arrays.known, arrays.probabilities, rng.random(arrays.known.shape))
    others = arrays._replace(probabilities=changed, called=changed >= 0.5)
    first = evaluate_once(lambda weights: multilabel.measure_findings(arrays, weights), 150)
    assert evaluate_once(lambda weights: multilabel.measure_findings(others, weights), 150) == first


def test_finding_has_the_same_scores_alone_and_intervals_by_patient():
    arrays, _ = draw(4)
    alone = FindingArrays(("b",), *(column[:, 1:2] for column in arrays[1:]))
    patients = [str(i // 3) for i in range(150)]

    def summarize(part, names):
        tree = bootstrap.bootstrap(lambda weights: multilabel.measure_findings(part, weights), names, 200)
        return confidence.summarize(tree, names)["classes"]["b"]

    assert summarize(alone, patients) == summarize(arrays, patients)
    doubled = alone.select(np.repeat(np.arange(150), 2))  # each radiograph twice: no new patient, the same interval
    once_each = summarize(alone, [str(i) for i in range(150)])["auroc"]
    twice_each = summarize(doubled, [str(i // 2) for i in range(300)])["auroc"]
    assert twice_each["value"] == pytest.approx(once_each["value"])
    assert twice_each["interval"] == pytest.approx(once_each["interval"], abs=0.01)


def test_finding_with_one_value_has_no_auroc_and_is_not_in_the_macro():
    arrays = make([[1, 0, 1], [0, 0, 1], [1, NAN, NAN]], [[0.9, 0.2, 0.3], [0.4, 0.9, 0.2], [0.8, 0.1, 0.1]])
    scores = evaluate_once(lambda weights: multilabel.measure_findings(arrays, weights), 3)
    for name in ("b", "c"):  # in any order, the average precision of c would be 1
        assert scores["classes"][name]["auroc"] is None and scores["classes"][name]["average_precision"] is None
    assert scores["macro"]["auroc"] == 1


def test_calibration_by_hand():
    """Of four at 0.8 three have the finding, of two at 0.3 one has: gaps of 0.05 and 0.2."""
    probability = [[0.8]] * 4 + [[0.3]] * 2 + [[0.5]]
    arrays = make([[1], [1], [1], [0], [0], [1], [-1]], probability)
    scores = evaluate_once(
        lambda w: {k: v for k, v in multilabel.prepare_calibration(arrays, {})(w)["macro"].items()}, 7
    )
    assert scores["ece"] == pytest.approx((4 * 0.05 + 2 * 0.2) / 6)
    assert scores["brier"] == pytest.approx((3 * 0.2**2 + 0.8**2 + 0.3**2 + 0.7**2) / 6)


def test_brier_score_components_add_up():
    arrays, _ = draw(5)
    parts = multilabel.prepare_calibration(arrays, {"a": 2.0})(np.ones((1, 150)))["classes"]["a"]
    value = {name: confidence.values(parts[name])[0] for name in ("brier", "reliability", "resolution", "uncertainty")}
    total = value["reliability"] - value["resolution"] + value["uncertainty"] + parts["within_bins"][0]
    assert value["brier"] == pytest.approx(total)


def test_known_temperature_of_each_finding_is_fitted():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 2)) * 1.5
    truth = rng.random(logits.shape) < 1 / (1 + np.exp(-logits))
    sharpened = 1 / (1 + np.exp(-logits * [2.0, 0.5]))
    temperatures = multilabel.fit_temperatures(make(truth, sharpened))
    assert temperatures == pytest.approx({"a": 2.0, "b": 0.5}, rel=0.05)
    calibrated = temperature.apply_event_temperature(sharpened[:, 0], 2.0)
    np.testing.assert_allclose(calibrated, 1 / (1 + np.exp(-logits[:, 0])), rtol=1e-9)


def test_decision_threshold_maximizes_sensitivity_plus_specificity():
    arrays, rng = draw(6, n=400)
    patients = [str(i) for i in range(400)]
    points = multilabel.choose_operating_points(arrays, patients, 0.9)
    for k, name in enumerate(arrays.findings):
        known = arrays.known[:, k]
        positive = arrays.positive[known, k]
        probability = arrays.probabilities[known, k]
        sums = [(probability[positive] >= t).mean() + (probability[~positive] < t).mean() for t in (probability)]
        t = points[name]["decision"]
        assert (probability[positive] >= t).mean() + (probability[~positive] < t).mean() == max(sums)
        assert t not in probability  # between two scores
    truth = np.repeat([[1], [0]], [10, 12], 0)
    scores = np.append(np.linspace(0.3, 0.4, 10), np.linspace(0.1, 0.2, 12))[:, None]
    chosen = multilabel.choose_operating_points(make(truth, scores), [""] * 22, 0.9)
    assert chosen["a"]["decision"] == pytest.approx(0.25)
    assert multilabel.choose_operating_points(make(truth[1:], scores[1:]), [""] * 21, 0.9)["a"]["decision"] is None


def test_operating_points_reach_their_rate_on_known_entries():
    arrays, _ = draw(6, n=400)
    patients = [str(i) for i in range(400)]
    points = multilabel.choose_operating_points(arrays, patients, 0.9)
    measured = evaluate_once(lambda weights: _rates(multilabel.measure_operating_points(arrays, points, weights)), 400)
    for k, name in enumerate(arrays.findings):
        known = arrays.known[:, k]
        positive = arrays.positive[known, k]
        called = arrays.probabilities[known, k] >= points[name]["at_sensitivity"]
        assert measured[name]["at_sensitivity"]["sensitivity"] == called[positive].mean() >= 0.9
        assert measured[name]["at_sensitivity"]["specificity"] == (~called[~positive]).mean()
        assert measured[name]["at_specificity"]["specificity"] >= 0.9
    few = make([[1], [0], [NAN]], [[0.9], [0.1], [0.5]])  # one positive promises nothing
    assert multilabel.choose_operating_points(few, ["1", "2", "3"], 0.9) == {
        "a": {"decision": None, "at_specificity": None, "at_sensitivity": None}
    }


def _rates(tree):
    return {
        name: {kind: {key: leaf for key, leaf in point.items() if key != "threshold"} for kind, point in kinds.items()}
        for name, kinds in tree.items()
    }


def test_source_baseline_of_findings_by_hand():
    """Of the source x, a has 1 of 4 and b is unknown; of y, a has 3 of 4 and b has 1 of 2; z is new."""
    sources = ["x"] * 4 + ["y"] * 4
    truth = np.array([[1, NAN], [0, -1], [0, NAN], [0, NAN], [1, 1], [1, 0], [1, NAN], [0, NAN]])
    counts = finding_arrays.count_by_source(sources, truth, ["a", "b"])
    assert counts == {"x": {"a": [3, 1], "b": [0, 0]}, "y": {"a": [1, 3], "b": [1, 1]}}
    probabilities = multilabel.source_probabilities(counts, ["x", "y", "z"], ["a", "b", "c"])
    np.testing.assert_allclose(probabilities, [[0.25, 0.5, 0.5], [0.75, 0.5, 0.5], [0.5, 0.5, 0.5]])
    arrays = make(truth, np.full(truth.shape, 0.5), ("a", "b"))
    by_source = multilabel.source_probabilities(counts, sources, ("a", "b"))
    scores = evaluate_once(multilabel.prepare_areas(arrays, by_source), 8)
    assert scores["classes"]["a"]["auroc"] == (9 + 0.5 * (3 + 3)) / 16  # 3 + 1 positives, 3 + 1 negatives
    assert scores["classes"]["b"]["auroc"] == 0.5
