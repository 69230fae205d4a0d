"""Calibration of probabilities: reliability and calibration errors."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from cxrjax.metrics import patient_weights
from cxrjax.metrics.confidence import BiasedEstimate, Loss, Proportion, safe_divide
from cxrjax.metrics.patient_weights import Weights

BINS = 10  # with about equal numbers of radiographs, as Nixon et al. 2019 (adaptive calibration error), section 3.3
_SIMULATED_CELLS = 2**19  # simulated outcomes per block, which fit in the cache of a processor

Metrics = dict[str, Float[np.ndarray, "r"] | BiasedEstimate | Loss | list[float]]


class ReliabilityBins(NamedTuple):
    """Statistics of b bins of rising probability, over r weightings of the radiographs."""

    weight: Float[np.ndarray, "r b"]
    mean_confidence: Float[np.ndarray, "r b"]  # mean probability; NaN in an empty bin
    accuracy: Float[np.ndarray, "r b"]  # share of true events; NaN in an empty bin


def equal_count_bins(values: Num[np.ndarray, "n"], count: int = BINS) -> Int[np.ndarray, "n"]:
    """Return the bin of each value, 0 to b - 1 of b <= count bins of about equal size; equal values share a bin."""
    edges = np.unique(np.quantile(values, np.arange(1, count) / count, method="inverted_cdf"))
    return np.unique(np.searchsorted(edges, values, side="left"), return_inverse=True)[1]


def reliability(
    confidence: Float[np.ndarray, "n"], correct: Bool[np.ndarray, "n"], bins: Int[np.ndarray, "n"], weights: Weights
) -> ReliabilityBins:
    """Compute mean probability and accuracy in each bin.

    Args:
        confidence: probabilities.
        correct: whether the event of each probability is true.
        bins: result of `equal_count_bins`.
        weights: r weightings of the radiographs.
    """
    of_patients = patient_weights.factor(weights)
    weight = of_patients.sum_groups(bins, np.ones(len(bins)))
    confidence_sum = of_patients.sum_groups(bins, confidence)
    correct_sum = of_patients.sum_groups(bins, correct)
    return ReliabilityBins(weight, safe_divide(confidence_sum, weight), safe_divide(correct_sum, weight))


def calibration_error(bins: ReliabilityBins) -> Float[np.ndarray, "r"]:
    """Compute the ECE, the mean over radiographs of |confidence - accuracy| of their bin (Naeini et al. 2015)."""
    return _average(bins.weight, np.abs(bins.mean_confidence - bins.accuracy))


def error_if_calibrated(
    confidence: Float[np.ndarray, "n"], bins: Int[np.ndarray, "n"], draws: int = 1000, seed: int = 0
) -> list[float]:
    """Simulate the central 95% of the ECE that calibrated probabilities would have by chance (Bröcker & Smith 2007).

    Args:
        confidence: probabilities.
        bins: result of `equal_count_bins`.
        draws: number of simulated outcomes, drawn from the probabilities.
        seed: random seed.

    Returns:
        [low, high].
    """
    rng = np.random.default_rng(seed)
    is_in_bin = (bins[:, None] == np.arange(bins.max() + 1)).astype(np.float32)  # exact for counts up to 2**24
    expected = np.bincount(bins, confidence)
    errors = []
    rows = max(1, _SIMULATED_CELLS // len(bins))
    for start in range(0, draws, rows):
        correct = rng.random((min(rows, draws - start), len(bins))) < confidence
        errors.append(np.abs(correct.astype(np.float32) @ is_in_bin - expected).sum(-1) / len(bins))
    return np.quantile(np.concatenate(errors), [0.025, 0.975]).tolist()


def prepare_calibration(
    probabilities: Float[np.ndarray, "n k"], truth: Int[np.ndarray, "n"], predicted: Int[np.ndarray, "n"]
) -> Callable[[Weights], Metrics]:
    """Return a function that computes the calibration metrics of n predictions with k probabilities.

    Args:
        probabilities: of the classes.
        truth: index of the true class.
        predicted: index of the predicted class.

    Returns:
        Weights [r, n] -> "ece" of the probability of the predicted class, and "ece_if_calibrated", of
        `error_if_calibrated`; "log_loss", the mean of -log of the true class's probability, in nats, 0 at best;
        "brier", sum over the classes of the squared distance from the truth, 0..2 (Brier 1950); and its components
        (Murphy 1973; Stephenson et al. 2008), over the same bins: brier = "reliability" - "resolution" + "uncertainty"
        + "within_bins". "within_bins" is the variation inside bins.
    """
    everyone = np.ones((1, len(truth)))
    rows = np.arange(len(truth))
    classes = range(probabilities.shape[1])
    is_class = truth[:, None] == np.array(classes)
    squares = _square(probabilities, truth)
    surprise = _surprise(probabilities, truth)
    confidence = probabilities[rows, predicted]
    correct = truth == predicted
    confidence_bins = equal_count_bins(confidence)
    class_bins = [equal_count_bins(probabilities[:, k]) for k in classes]

    def class_gaps(weights: Weights, k: int) -> _Gaps:
        return _measure_gaps(probabilities[:, k], is_class[:, k], class_bins[k], weights)

    data_gaps = [class_gaps(everyone, k) for k in classes]
    rises = [_rise(probabilities, truth, predicted, loss) for loss in (_surprise, _square)]
    data_curve = reliability(confidence, correct, confidence_bins, everyone)
    data_error = data_curve.mean_confidence - data_curve.accuracy
    chance = error_if_calibrated(confidence, confidence_bins)

    def measure(weights: Weights) -> Metrics:
        total = weights.sum(-1)
        uncertainty = np.zeros(len(weights))
        reliability_sums, resolution_sums = np.zeros((2, 3, len(weights)))
        for k in classes:
            gaps = class_gaps(weights, k)
            reliability_sums += _distance(gaps.weight, gaps.calibration, data_gaps[k].calibration, 2)
            resolution_sums += _distance(gaps.weight, gaps.resolution, data_gaps[k].resolution, 2)
            uncertainty += gaps.prevalence * (1 - gaps.prevalence)
        curve = reliability(confidence, correct, confidence_bins, weights)
        return _assemble(
            total,
            errors=Proportion(safe_divide(weights @ ~correct, total), total),
            ece=_distance(curve.weight, curve.mean_confidence - curve.accuracy, data_error, 1),
            ece_by_chance=chance,
            log_loss=(safe_divide(weights @ surprise, total), rises[0]),
            brier=(safe_divide(weights @ squares, total), rises[1]),
            components=(reliability_sums, resolution_sums, uncertainty),
        )

    return measure


def prepare_event_calibration(
    probability: Float[np.ndarray, "n"], event: Bool[np.ndarray, "n"]
) -> Callable[[Weights], Metrics]:
    """Return a function that computes the calibration metrics of n probabilities of one event, such as a finding.

    Args:
        probability: of the event.
        event: whether it is true.

    Returns:
        Weights [r, n] -> the metrics of `prepare_calibration` for this event alone: "ece" compares its probability with
        its frequency, "brier" is the mean of (probability - event)², 0..1, and "reliability", "resolution",
        "uncertainty" and "within_bins" are the components of that.
    """
    bins = equal_count_bins(probability)
    data_gaps = _measure_gaps(probability, event, bins, np.ones((1, len(event))))
    two_sided = np.stack([1 - probability, probability], 1)
    truth = event.astype(int)
    predicted = (probability >= 0.5).astype(int)
    squares = (probability - event) ** 2
    surprise = _surprise(two_sided, truth)
    log_rise = _rise(two_sided, truth, predicted, _surprise)
    square_rise = _rise(two_sided, truth, predicted, _square) / 2
    chance = error_if_calibrated(probability, bins)

    def measure(weights: Weights) -> Metrics:
        total = weights.sum(-1)
        gaps = _measure_gaps(probability, event, bins, weights)
        reliability_part = _distance(gaps.weight, gaps.calibration, data_gaps.calibration, 2)
        resolution_part = _distance(gaps.weight, gaps.resolution, data_gaps.resolution, 2)
        return _assemble(
            total,
            errors=Proportion(safe_divide(weights @ (predicted != truth), total), total),
            ece=_distance(gaps.weight, gaps.calibration, data_gaps.calibration, 1),
            ece_by_chance=chance,
            log_loss=(safe_divide(weights @ surprise, total), log_rise),
            brier=(safe_divide(weights @ squares, total), square_rise),
            components=(reliability_part, resolution_part, gaps.prevalence * (1 - gaps.prevalence)),
        )

    return measure


def _assemble(
    total: Num[np.ndarray, "r"],
    errors: Proportion,
    ece: Float[np.ndarray, "3 r"],
    ece_by_chance: list[float],
    log_loss: tuple[Float[np.ndarray, "r"], float],
    brier: tuple[Float[np.ndarray, "r"], float],
    components: tuple[Float[np.ndarray, "3 r"], Float[np.ndarray, "3 r"], Float[np.ndarray, "r"]],
) -> Metrics:
    """Return the metrics of `prepare_calibration`.

    Args:
        total: weighted number of radiographs.
        errors: wrong predictions.
        ece: result of `_distance`.
        ece_by_chance: result of `error_if_calibrated`.
        log_loss: the loss, and its result of `_rise`.
        brier: the same of the Brier score.
        components: of the Brier score: reliability and resolution, results of `_distance`, and uncertainty.
    """
    zeros = np.zeros_like(total)
    ones = np.ones_like(total)
    reliability_part, resolution_part, uncertainty = components
    return {
        "n": total,
        "ece": BiasedEstimate(*ece, chance=np.full_like(total, ece_by_chance[1]), errors=errors, rise=ones),
        "ece_if_calibrated": ece_by_chance,
        "log_loss": Loss(log_loss[0], errors, log_loss[1] * ones),
        "brier": Loss(brier[0], errors, brier[1] * ones),
        "reliability": BiasedEstimate(*reliability_part, chance=zeros, errors=errors, rise=zeros),
        "resolution": BiasedEstimate(*resolution_part, chance=zeros, errors=errors, rise=zeros),
        "uncertainty": uncertainty,
        "within_bins": brier[0] - reliability_part[0] + resolution_part[0] - uncertainty,
    }


class _Gaps(NamedTuple):
    """Gaps of b bins of the probability of an event, over r weightings of the radiographs."""

    weight: Float[np.ndarray, "r b"]
    calibration: Float[np.ndarray, "r b"]  # mean probability less the frequency in the bin
    resolution: Float[np.ndarray, "r b"]  # frequency in the bin less the prevalence
    prevalence: Float[np.ndarray, "r"]


def _measure_gaps(
    probability: Float[np.ndarray, "n"],
    event: Bool[np.ndarray, "n"],
    bins: Int[np.ndarray, "n"],
    weights: Weights,
) -> _Gaps:
    curve = reliability(probability, event, bins, weights)
    prevalence = safe_divide(weights @ event, weights.sum(-1))
    calibration_gap = curve.mean_confidence - curve.accuracy
    return _Gaps(curve.weight, calibration_gap, curve.accuracy - prevalence[:, None], prevalence)


def _distance(
    weight: Float[np.ndarray, "r b"], gaps: Float[np.ndarray, "r b"], data_gaps: Float[np.ndarray, "1 b"], power: int
) -> Float[np.ndarray, "3 r"]:
    """Compute the mean over b bins of |gap| or of gap², and its biases, for `BiasedEstimate`.

    Args:
        weight: of the bins.
        gaps: of resamples; NaN in an empty bin.
        data_gaps: of the data.
        power: 1 or 2.

    Returns:
        The mean; its upward bias by noise, |g + d| - |g| <= |d| or (g + d)² - g² = 2 g d + d²; and the part
        that noise may conceal, -f'(g + d) d.
    """
    noise = gaps - data_gaps
    slope = power * np.sign(data_gaps) * np.abs(data_gaps) ** (power - 1)
    linear = _average(weight, slope * noise)
    upward_bias = _average(weight, np.abs(noise) ** power) + (linear if power == 2 else 0)
    return np.stack([_average(weight, np.abs(gaps) ** power), upward_bias, -linear])


def _surprise(probabilities: Float[np.ndarray, "n k"], truth: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Return -log of the probability of the true class, in nats."""
    return -np.log(np.maximum(probabilities[np.arange(len(truth)), truth], _TINY))


def _square(probabilities: Float[np.ndarray, "n k"], truth: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Return the squared distance of probabilities from the truth."""
    return ((probabilities - np.eye(probabilities.shape[1])[truth]) ** 2).sum(1)


def _rise(
    probabilities: Float[np.ndarray, "n k"],
    truth: Int[np.ndarray, "n"],
    predicted: Int[np.ndarray, "n"],
    loss: Callable[[Float[np.ndarray, "n k"], Int[np.ndarray, "n"]], Float[np.ndarray, "n"]],
) -> float:
    """Estimate how much higher a loss is for a wrong prediction: mean of the wrong ones and of one more, expected one.

    For the expected one, the truth is the likeliest other class, and each radiograph is weighted by the probability
    that its prediction is wrong.
    """
    wrong = truth != predicted
    rows = np.arange(len(truth))
    others = probabilities.copy()
    others[rows, predicted] = -1
    expected_rises = loss(probabilities, others.argmax(1)) - loss(probabilities, predicted)
    error_probability = 1 - probabilities[rows, predicted]
    expected = (error_probability * expected_rises).sum() / max(error_probability.sum(), _TINY)
    observed = (loss(probabilities, truth) - loss(probabilities, predicted))[wrong]
    return float((observed.sum() + expected) / (wrong.sum() + 1))


def _average(weight: Float[np.ndarray, "r b"], values: Float[np.ndarray, "r b"]) -> Float[np.ndarray, "r"]:
    """Return the mean over the bins of values; NaN, of an empty bin, is left out."""
    return safe_divide((weight * np.nan_to_num(values)).sum(-1), weight.sum(-1))


_TINY = float(np.finfo(np.float32).tiny)  # smallest normal probability of a float32 network
