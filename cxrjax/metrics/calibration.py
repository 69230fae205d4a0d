"""Whether probabilities come true: reliability, its errors, and a temperature that mends them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from cxrjax.metrics.confidence import BiasedEstimate, Loss, Proportion, safe_divide

BINS = 10  # of about equal numbers of radiographs; as Nixon et al. 2019 (adaptive calibration error), section 3.3
HOTTEST = 20.0  # temperatures are sought from its inverse up to it


class ReliabilityBins(NamedTuple):
    """Radiographs in B bins of rising probability, over r weightings."""

    weight: NDArray  # [r, B]
    claimed: NDArray  # [r, B], mean probability; NaN in an empty bin
    true: NDArray  # [r, B], share that came true; NaN in an empty bin


def equal_count_bins(values: NDArray, count: int = BINS) -> NDArray:
    """One-hot bins [n, B] of about equal numbers, B <= count: equal values [n] share a bin, whatever their order."""
    edges = np.unique(np.quantile(values, np.arange(1, count) / count, method="inverted_cdf"))
    of = np.searchsorted(edges, values, side="left")
    return (of[:, None] == np.unique(of)).astype(float)


def reliability(claimed: NDArray, true: NDArray, bins: NDArray, weights: NDArray) -> ReliabilityBins:
    """What was claimed against what came true.

    Args:
        claimed: probabilities [n].
        true: bool [n].
        bins: one-hot [n, B].
        weights: [r, n].

    Returns:
        The Reliability.
    """
    sums = weights @ np.hstack([bins, bins * claimed[:, None], bins * np.asarray(true)[:, None]])
    weight, claimed, true = np.split(sums, 3, axis=1)
    return ReliabilityBins(weight, safe_divide(claimed, weight), safe_divide(true, weight))


def calibration_error(curve: ReliabilityBins) -> NDArray:
    """ECE [r]: mean over the radiographs of the gap between claim and truth in their bin (Naeini et al. 2015)."""
    return _average(curve.weight, np.abs(curve.claimed - curve.true))


def error_if_calibrated(claimed: NDArray, bins: NDArray, draws: int = 1000, seed: int = 0) -> list[float]:
    """The middle 95% of the ECE that these claims would show by chance if they were right (Bröcker & Smith 2007).

    Args:
        claimed: probabilities [n].
        bins: one-hot [n, B].
        draws: of truths in which every claim is right.
        seed: of the draw.

    Returns:
        [low, high].
    """
    true = np.random.default_rng(seed).random((draws, len(claimed))) < claimed
    return np.quantile(np.abs((true - claimed) @ bins).sum(-1) / len(claimed), [0.025, 0.975]).tolist()


def prepare_calibration(
    probabilities: NDArray, truth: NDArray, found: NDArray
) -> Callable[[NDArray], dict[str, NDArray]]:
    """A measure of how well n findings and their K probabilities are calibrated.

    Args:
        probabilities: [n, K].
        truth: int [n], the class that it was.
        found: int [n], the class that was found.

    Returns:
        Weights [r, n] -> "ece" of the finding's probability, and "ece_if_calibrated", of `error_if_calibrated`;
        "log_loss", the mean of -log of the truth's probability, in nats, 0 at best;
        "brier", sum over the classes of the squared distance from the truth, 0..2 (Brier 1950); and its parts (Murphy
        1973; Stephenson et al. 2008), over the same bins: brier = "reliability" - "resolution" + "uncertainty" +
        "within". Within is what varies inside of bins.
    """
    everyone = np.ones((1, len(truth)))
    rows, classes = np.arange(len(truth)), range(probabilities.shape[1])
    is_class = truth[:, None] == np.array(classes)
    squares, surprise = _square(probabilities, truth), _surprise(probabilities, truth)
    confidence, right = probabilities[rows, found], truth == found
    of_finding, of_class = equal_count_bins(confidence), [equal_count_bins(probabilities[:, k]) for k in classes]

    def part(weights: NDArray, k: int) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """Of a class: the weight of its bins, their gaps to the truth and to the common share, and that share."""
        curve = reliability(probabilities[:, k], is_class[:, k], of_class[k], weights)
        common = safe_divide(weights @ is_class[:, k], weights.sum(-1))
        return curve.weight, curve.claimed - curve.true, curve.true - common[:, None], common

    seen = [part(everyone, k) for k in classes]
    rises = [_rise(probabilities, truth, found, loss) for loss in (_surprise, _square)]
    curve = reliability(confidence, right, of_finding, everyone)
    seen_error, chance = curve.claimed - curve.true, error_if_calibrated(confidence, of_finding)

    def measure(weights: NDArray) -> dict[str, NDArray | BiasedEstimate | Loss]:
        total, uncertain = weights.sum(-1), np.zeros(len(weights))
        unreliable, resolved = np.zeros((2, 3, len(weights)))
        for k in classes:
            weight, wrong, apart, common = part(weights, k)
            unreliable += _distance(weight, wrong, seen[k][1], 2)
            resolved += _distance(weight, apart, seen[k][2], 2)
            uncertain += common * (1 - common)
        brier = safe_divide(weights @ squares, total)
        error = reliability(confidence, right, of_finding, weights)
        errors = Proportion(safe_divide(weights @ ~right, total), total)
        of_error = _distance(error.weight, error.claimed - error.true, seen_error, 1)
        nothing, one = np.zeros_like(total), np.ones_like(total)
        return {
            "n": total,
            "ece": BiasedEstimate(*of_error, np.full_like(total, chance[1]), errors, one),
            "ece_if_calibrated": chance,
            "log_loss": Loss(safe_divide(weights @ surprise, total), errors, rises[0] * one),
            "brier": Loss(brier, errors, rises[1] * one),
            "reliability": BiasedEstimate(*unreliable, nothing, errors, nothing),
            "resolution": BiasedEstimate(*resolved, nothing, errors, nothing),
            "uncertainty": uncertain,
            "within": brier - unreliable[0] + resolved[0] - uncertain,
        }

    return measure


def apply_temperature(probabilities: NDArray, temperature: float) -> NDArray:
    """Probabilities [..., K] at a temperature: above 1 they are evened out, below 1 sharpened; zeros stay zeros.

    Their order, and so the finding, stays (Guo et al. 2017, section 4.2). NaN stays NaN.
    """
    raised = (probabilities / np.maximum(probabilities.max(-1, keepdims=True), _TINY)) ** (1 / temperature)
    return raised / np.maximum(raised.sum(-1, keepdims=True), _TINY)


def fit_temperature(probabilities: NDArray, truth: NDArray) -> float:
    """Return the temperature at which the truth is likeliest (Guo et al. 2017, section 4.2), by Platt's targets.

    Where all findings are right the likelihood has no maximum: the colder, the better. The targets are therefore those
    of Platt 1999 (section 2.2): each radiograph counts as its class with 1 - 1 / (n + 2), the rest is shared among the
    others, as if one more radiograph had been of another class.

    Args:
        probabilities: [n, K], n > 0, of radiographs that the network was not trained on.
        truth: int [n].

    Returns:
        The temperature, within 1 / HOTTEST and HOTTEST; see `is_at_bound`.
    """
    count = probabilities.shape[1]
    doubt = 1 / (len(truth) + 2)
    targets = np.where(np.arange(count) == truth[:, None], 1 - doubt, doubt / max(count - 1, 1))

    def surprise(log_temperature: float) -> float:
        scaled = apply_temperature(probabilities, np.exp(log_temperature))
        return -(targets * np.log(np.maximum(scaled, _TINY))).sum(1).mean()

    bound = np.log(HOTTEST)
    return float(np.exp(minimize_scalar(surprise, bounds=(-bound, bound), method="bounded").x))


def is_at_bound(temperature: float) -> bool:
    """Return whether a temperature is as low or as high as `fit_temperature` seeks: the best one lies beyond."""
    return abs(np.log(temperature)) > np.log(HOTTEST) - 0.01


def _distance(weight: NDArray, gaps: NDArray, seen: NDArray, power: int) -> NDArray:
    """Mean over B bins of |gap| or of gap², for `Inflated`.

    Args:
        weight: [r, B].
        gaps: [r, B], of a resample; NaN in an empty bin.
        seen: [1, B], of the data.
        power: 1 or 2.

    Returns:
        [3, r]: the mean; what noise pushes it up by, |g + d| - |g| <= |d| or (g + d)² - g² = 2 g d + d²; and what it
        may hide, -f'(g + d) d.
    """
    noise, slope = gaps - seen, power * np.sign(seen) * np.abs(seen) ** (power - 1)
    along = _average(weight, slope * noise)
    pushed = _average(weight, np.abs(noise) ** power) + (along if power == 2 else 0)
    return np.stack([_average(weight, np.abs(gaps) ** power), pushed, -along])


def _surprise(probabilities: NDArray, truth: NDArray) -> NDArray:
    """Return -log of the truth's probability [n], in nats."""
    return -np.log(np.maximum(probabilities[np.arange(len(truth)), truth], _TINY))


def _square(probabilities: NDArray, truth: NDArray) -> NDArray:
    """Return the squared distance [n] of probabilities from the truth."""
    return ((probabilities - np.eye(probabilities.shape[1])[truth]) ** 2).sum(1)


def _rise(probabilities: NDArray, truth: NDArray, found: NDArray, loss: Callable[[NDArray, NDArray], NDArray]) -> float:
    """Return how much greater a loss is where a finding is wrong: the mean of those seen, and of one that is claimed.

    The one that is claimed is that of the likeliest other class, each radiograph by the probability that its finding
    is wrong.
    """
    wrong = truth != found
    rows = np.arange(len(truth))
    others = probabilities.copy()
    others[rows, found] = -1
    claimed = loss(probabilities, others.argmax(1)) - loss(probabilities, found)
    doubt = 1 - probabilities[rows, found]
    expected = (doubt * claimed).sum() / max(doubt.sum(), _TINY)
    seen = (loss(probabilities, truth) - loss(probabilities, found))[wrong]
    return float((seen.sum() + expected) / (wrong.sum() + 1))


def _average(weight: NDArray, values: NDArray) -> NDArray:
    """Mean over the bins [r] of values [r, B] that are NaN in an empty one."""
    return safe_divide((weight * np.nan_to_num(values)).sum(-1), weight.sum(-1))


_TINY = float(np.finfo(np.float32).tiny)  # of what a probability that a network gives may be
