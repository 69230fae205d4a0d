"""Reliability and its components by hand, scikit-learn's Brier score, and known temperatures."""

import numpy as np
import pytest
from scipy.special import expit, logit, softmax
from sklearn.metrics import brier_score_loss, log_loss

from cxrjax.metrics import bootstrap, calibration, confidence
from cxrjax.metrics import temperature as temperature_scaling


def evaluate_once(measure):
    return {name: confidence.values(leaf)[0] for name, leaf in measure.items() if name != "ece_if_calibrated"}


def draw(seed, n, sharpened):
    """Draw probabilities that are calibrated if `sharpened` is undone, and truths from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 4)) * 1.5
    truth = (rng.random((n, 1)) > softmax(logits, 1).cumsum(1)).sum(1)
    return softmax(logits * sharpened, 1), np.minimum(truth, 3)


def test_brier_score_components_by_hand():
    """0.8 is predicted four times, right three; 0.4 twice, right once. With two classes each component counts twice."""
    first = np.array([0.8, 0.8, 0.8, 0.8, 0.4, 0.4])
    truth = np.array([0, 0, 0, 1, 0, 1])
    probabilities = np.stack([first, 1 - first], 1)
    score = evaluate_once(
        calibration.prepare_calibration(probabilities, truth, probabilities.argmax(1))(np.ones((1, 6)))
    )
    assert score["reliability"] == pytest.approx(2 * (4 * 0.05**2 + 2 * 0.1**2) / 6)
    assert score["resolution"] == pytest.approx(2 * (4 * (3 / 4 - 4 / 6) ** 2 + 2 * (1 / 2 - 4 / 6) ** 2) / 6)
    assert score["uncertainty"] == pytest.approx(2 * 4 / 6 * 2 / 6)
    assert score["within_bins"] == pytest.approx(0)  # the bins are the values themselves
    assert score["brier"] == pytest.approx(2 * brier_score_loss(truth == 0, first))
    # Of the findings, 0.8 is right in 3 of 4, and 0.6 (of the second class) in 1 of 2.
    assert score["ece"] == pytest.approx((4 * 0.05 + 2 * 0.1) / 6)


def test_brier_score_components_add_up_with_wide_bins():
    probabilities, truth = draw(0, 500, 1.7)
    score = evaluate_once(
        calibration.prepare_calibration(probabilities, truth, probabilities.argmax(1))(np.ones((1, 500)))
    )
    assert score["brier"] == pytest.approx(brier_score_loss(truth, probabilities, labels=range(4), scale_by_half=False))
    parts = score["reliability"] - score["resolution"] + score["uncertainty"] + score["within_bins"]
    assert score["brier"] == pytest.approx(parts) and abs(score["within_bins"]) > 1e-4


def test_equal_count_bins_do_not_separate_equal_values():
    values = np.random.default_rng(0).permutation(np.arange(100) / 100)
    assert np.bincount(calibration.equal_count_bins(values)).tolist() == [10] * 10
    bins = calibration.equal_count_bins(np.array([0.1] * 50 + [0.2] * 3 + [0.9] * 47))
    assert bins.tolist() == [0] * 50 + [1] * 50  # a tenth of the values ends at 0.1 and at 0.9, none at 0.2


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_known_temperature_is_fitted_and_lowers_the_error(temperature):
    probabilities, truth = draw(1, 20_000, temperature)  # sharpened so much
    assert temperature_scaling.fit_temperature(probabilities, truth) == pytest.approx(temperature, rel=0.05)
    mended = temperature_scaling.apply_temperature(probabilities, temperature)
    before, after = (
        evaluate_once(calibration.prepare_calibration(p, truth, p.argmax(1))(np.ones((1, len(truth)))))["ece"]
        for p in (probabilities, mended)
    )
    assert after < 0.015 and (temperature == 1 or after < before / 3)


def test_temperature_without_errors_uses_platts_target():
    """Fifty findings at 0.7, all right, of two classes: Platt's target 51/52 is what 0.7 is sharpened to."""
    probabilities, truth = np.tile([0.7, 0.3], (50, 1)), np.zeros(50, int)
    temperature = temperature_scaling.fit_temperature(probabilities, truth)
    assert temperature == pytest.approx(logit(0.7) / np.log(51), rel=1e-4)
    assert temperature_scaling.apply_temperature(probabilities, temperature)[0, 0] == pytest.approx(51 / 52)
    assert not temperature_scaling.is_at_bound(temperature)


def test_temperature_of_few_radiographs_does_not_worsen_new_data():
    """Accuracy 0.95 and fifty radiographs to fit: the log loss of new data falls, even if all fifty are right."""
    test, truth = draw(0, 5000, 0.3)
    for seed in range(20):
        probabilities, known = draw(100 + seed, 50, 0.3)
        right = probabilities.argmax(1) == known
        temperature = temperature_scaling.fit_temperature(probabilities[right], known[right])
        assert not temperature_scaling.is_at_bound(temperature)
        losses = [
            log_loss(truth, temperature_scaling.apply_temperature(test, t), labels=range(4))
            for t in (1.0, temperature_scaling.fit_temperature(probabilities, known))
        ]
        assert losses[1] < losses[0]


def test_temperature_at_its_bound_is_detected():
    """Predictions are the opposite of the truth, so that no temperature is high enough."""
    probabilities, truth = draw(0, 200, 1.0)
    assert temperature_scaling.is_at_bound(temperature_scaling.fit_temperature(probabilities, probabilities.argmin(1)))


def test_log_loss_equals_scikit_learn():
    probabilities, truth = draw(3, 80, 1.5)
    score = evaluate_once(
        calibration.prepare_calibration(probabilities, truth, probabilities.argmax(1))(np.ones((1, 80)))
    )
    assert score["log_loss"] == pytest.approx(log_loss(truth, probabilities, labels=range(4)))


def test_intervals_of_losses_without_errors_allow_for_unseen_errors():
    """Thirty findings at 0.99, all right; where three in a hundred are wrong the loss is 0.15 and not 0.01."""
    probabilities, truth = np.tile([0.99, 0.01], (30, 1)), np.zeros(30, int)
    probabilities[:5] = 0.98, 0.02
    tree = bootstrap.bootstrap(calibration.prepare_calibration(probabilities, truth, truth), np.arange(30), 300)
    for name in ("log_loss", "brier", "ece"):
        low, high = confidence.summarize(tree, np.arange(30))[name]["interval"]
        assert low <= confidence.summarize(tree)[name]["value"] and high > 0.1


def test_temperature_does_not_change_the_order_of_classes():
    probabilities, _ = draw(2, 200, 1.0)
    for temperature in (0.05, 0.7, 20.0):
        scaled = temperature_scaling.apply_temperature(probabilities, temperature)
        np.testing.assert_array_equal(scaled.argsort(1), probabilities.argsort(1))
        np.testing.assert_allclose(scaled.sum(1), 1)
    np.testing.assert_allclose(temperature_scaling.apply_temperature(probabilities, 1.0), probabilities)
    logits = np.log(probabilities)
    np.testing.assert_allclose(temperature_scaling.apply_temperature(probabilities, 3.0), softmax(logits / 3, 1))
    odd = np.array([[0, 0, 0], [1, 0, 0], [np.nan] * 3], np.float32)
    np.testing.assert_array_equal(temperature_scaling.apply_temperature(odd, 2.0), odd)


def test_calibrated_probabilities_stay_within_the_chance_band():
    inside, outside = [], []
    for seed in range(60):
        probabilities, truth = draw(seed, 300, 1.0)
        for covered, wrong in (
            (inside, probabilities),
            (outside, temperature_scaling.apply_temperature(probabilities, 0.5)),
        ):
            claimed, right = wrong.max(1), wrong.argmax(1) == truth
            bins = calibration.equal_count_bins(claimed)
            low, high = calibration.error_if_calibrated(claimed, bins, draws=200)
            error = calibration.calibration_error(calibration.reliability(claimed, right, bins, np.ones((1, 300))))
            covered.append(low <= error[0] <= high)
    assert np.mean(inside) > 0.85 and np.mean(outside) < 0.1


@pytest.mark.parametrize("sharpened", [1.0, 1.2, 2.5])
@pytest.mark.parametrize("each", [1, 2])  # radiographs of a patient, all alike
def test_intervals_of_calibration_errors_cover_the_truth(sharpened, each, unchecked_types):
    """Confidences of two classes, sharpened by a known factor; ECE and reliability of 100,000 are the truth."""
    rng, covered = np.random.default_rng(0), []
    many = rng.uniform(0.5, 0.98, 100_000)
    gaps = many - expit(logit(many) / sharpened)
    for k in range(120):
        claimed, drawn = (np.repeat(x, each) for x in (rng.uniform(0.5, 0.98, 150), rng.random(150)))
        truth = (drawn > expit(logit(claimed) / sharpened)).astype(int)
        measure = calibration.prepare_calibration(np.stack([claimed, 1 - claimed], 1), truth, np.zeros(len(truth), int))
        patients = np.repeat(np.arange(150), each)
        tree = confidence.summarize(bootstrap.bootstrap(measure, patients, 200, k), patients, len(truth))
        row = []
        for name, of_many in (("ece", abs(gaps).mean()), ("reliability", 2 * (gaps**2).mean())):
            low, high = tree[name]["interval"]
            assert low <= tree[name]["value"] <= high
            row.append(low <= of_many <= high)
        covered.append(row)
    assert (np.mean(covered, 0) >= 0.93).all()
