"""Scores over resamples, and their summary: the value, its 95% interval, and n.

A measure maps weights [r, n], r weightings of n radiographs, to a tree of dicts. Its leaves are arrays [r], or one of
the classes below, which determine the kind of interval; the keys in COUNTS have numbers of radiographs; a leaf that is
not an array is the same in every resample. Row 0 is the data itself, the other rows are resamples.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Num, Shaped
from numpy.typing import ArrayLike

from cxrjax.metrics import bootstrap, intervals
from cxrjax.metrics.intervals import Design, Interval
from cxrjax.metrics.patient_weights import Weights

COUNTS = ("n", "no_prediction", "failed", "out_of_distribution", "support", "uncertain")


class Proportion(NamedTuple):
    """A proportion of radiographs."""

    value: Num[np.ndarray, "r"]  # in 0..1, NaN where undefined
    n: Num[np.ndarray, "r"]  # number of radiographs


class F1(NamedTuple):
    """An F1 score."""

    value: Num[np.ndarray, "r"]  # in 0..1, NaN where undefined
    n: Num[np.ndarray, "r"]  # mean of the number of radiographs of the class and of those predicted to be of it


class MeanEstimate(NamedTuple):
    """A mean of values in 0..1, over the radiographs that have a value."""

    value: Num[np.ndarray, "r"]  # NaN where undefined
    n: Num[np.ndarray, "r"]  # number of radiographs
    lowest: Num[np.ndarray, "r"]  # in 0..1, the lowest value that one more radiograph may have
    highest: Num[np.ndarray, "r"]  # in 0..1, the highest


class Auroc(NamedTuple):
    """An area under the ROC curve."""

    value: Num[np.ndarray, "r"]  # in 0..1, NaN where there are no positives or no negatives
    positives: Num[np.ndarray, "r"]  # number
    negatives: Num[np.ndarray, "r"]  # number


class AveragePrecision(NamedTuple):
    """An area under the precision-recall curve."""

    value: Num[np.ndarray, "r"]  # in 0..1, NaN where there are no positives
    positives: Num[np.ndarray, "r"]  # number
    negatives: Num[np.ndarray, "r"]  # number


class BiasedEstimate(NamedTuple):
    """A distance f(g) of gaps g from zero, convex in g, so that the noise d of the observed gaps biases it upward.

    A resample would be biased once more; the fields therefore have the effect of the noise of a resample.
    """

    value: Num[np.ndarray, "r"]  # f(g + d); 0 at best
    upward_bias: Num[np.ndarray, "r"]  # lower bound of the bias by d, for the d of a resample: 0 in the data
    concealed: Num[
        np.ndarray, "r"
    ]  # -f'(g + d) d: as f is convex, the truth is never further above the value than -f'(g) d
    chance: Num[np.ndarray, "r"]  # 97.5% quantile under the noise of independent radiographs alone; 0 where unknown
    errors: Proportion  # wrong predictions; while few are observed, more than the resamples have may be concealed
    rise: Num[np.ndarray, "r"]  # maximal change of the value if all correct predictions were wrong


class Loss(NamedTuple):
    """A mean loss, most of which may come from a few wrong predictions."""

    value: Num[np.ndarray, "r"]
    errors: Proportion  # wrong predictions
    rise: Num[np.ndarray, "r"]  # how much higher the loss of a prediction is if it is wrong


class Combination(NamedTuple):
    """A weighted sum of other scores: a mean over classes, or a difference of two networks."""

    value: Num[np.ndarray, "r"]  # NaN where undefined
    parts: tuple[Any, ...]  # k leaves
    weights: Float[np.ndarray, "r k"]  # of the parts; 0 for an undefined part


class Ratio(NamedTuple):
    """A ratio of two scores, each less its chance level."""

    value: Num[np.ndarray, "r"]
    parts: tuple[Any, Any]  # leaves
    chance: Num[np.ndarray, "r"]  # chance level of both


Leaf = (
    Num[np.ndarray, "r"]
    | Proportion
    | F1
    | MeanEstimate
    | Auroc
    | AveragePrecision
    | BiasedEstimate
    | Loss
    | Combination
    | Ratio
)
_KINDS = (np.ndarray, Proportion, F1, MeanEstimate, Auroc, AveragePrecision, BiasedEstimate, Loss, Combination, Ratio)


def proportion(part: Num[np.ndarray, "r"], whole: Num[np.ndarray, "r"]) -> Proportion:
    """Return the proportion of `part` in `whole`, weighted numbers of radiographs."""
    return Proportion(safe_divide(part, whole), whole)


def mean_estimate(values: Float[np.ndarray, "n"], weights: Weights) -> MeanEstimate:
    """Return the mean over those of n radiographs whose value is not NaN.

    One more radiograph may have the lowest or the highest value observed.

    Args:
        values: in 0..1.
        weights: r weightings of the radiographs.
    """
    defined = ~np.isnan(values)
    count = weights @ defined
    observed = values[defined] if defined.any() else np.zeros(1)
    return MeanEstimate(
        value=safe_divide(weights @ np.nan_to_num(values), count),
        n=count,
        lowest=np.full(len(count), observed.min()),
        highest=np.full(len(count), observed.max()),
    )


def mean_of(parts: Sequence[Leaf], weights: Sequence[float] | None = None) -> Combination:
    """Return the mean of leaves over those that are defined, weighted if weights are given."""
    part_values = np.stack([values(part) for part in parts], -1)
    part_weights = ~np.isnan(part_values) * (np.ones(len(parts)) if weights is None else np.asarray(weights, float))
    scaled = safe_divide(part_weights, part_weights.sum(-1, keepdims=True))
    value = np.where(part_weights.any(-1), (np.nan_to_num(scaled) * np.nan_to_num(part_values)).sum(-1), np.nan)
    return Combination(value, tuple(parts), np.nan_to_num(scaled))


def difference(first: Leaf, second: Leaf) -> Combination:
    """Return the first leaf less the second."""
    value = values(first) - values(second)
    return Combination(value, (first, second), np.tile([1.0, -1.0], (len(value), 1)))


def share_above(first: Leaf, second: Leaf, chance: float) -> Ratio:
    """Return (first - chance) / (second - chance)."""
    gain = values(first) - chance
    reference_gain = values(second) - chance
    return Ratio(safe_divide(gain, reference_gain), (first, second), np.full(len(gain), chance))


def safe_divide(a: Num[np.ndarray, "..."], b: Num[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Return a / b, and NaN where b is 0."""
    return np.divide(a, b, out=np.full(np.broadcast(a, b).shape, np.nan), where=b != 0)


def values(leaf: Leaf) -> Num[np.ndarray, "r"]:
    """Return a leaf's values."""
    return leaf if isinstance(leaf, np.ndarray) else leaf.value


def point_estimates(tree: Any) -> Any:
    """Return the values of a tree for the data itself: numbers, None for NaN."""
    if isinstance(tree, Mapping):
        return {key: int(part[0]) if key in COUNTS else point_estimates(part) for key, part in tree.items()}
    return _number(values(tree)[0])


def summarize(tree: Any, patients: Sequence[str] | Shaped[np.ndarray, "n"] = (), n: int = 0) -> Any:
    """Return every leaf of a tree as {"value", "interval", "n"}; None for an undefined value or interval.

    The intervals are those of `cxrjax.metrics.intervals`: Jeffreys' for a `Proportion` and an `F1`, Fay and Feuer's for
    a `MeanEstimate`, Newcombe's for an `Auroc`, each with the variance of the resamples of patients; those of a
    `Combination` and a `Ratio` come from the intervals of their parts; all other leaves have corrected percentiles. The
    interval of a `BiasedEstimate` extends from the value less its upward bias, or from 0 where chance alone reaches the
    value, to the value plus what noise may conceal: its coverage is the nominal one or higher.

    There is no interval for a single patient, nor for a score that is equal in all resamples, unless it is a proportion
    or an area that is 0 or 1, or comes from such scores.

    Args:
        tree: see the module.
        patients: patient of each radiograph, as they were resampled; empty if each radiograph is of another patient.
        n: number of radiographs, for leaves that are in no dict with a "support" or "n"; that of `patients` if 0.
    """
    several = len(set(patients)) < len(patients)
    design = Design(len(set(patients)), bootstrap.design_effect(patients)) if several else Design()
    n = n or len(patients)
    return _summarize(tree, n, design, float(design.patients or n))


def mean_interval(
    values: ArrayLike, patients: Iterable[str], seed: int, bounded: bool = False, less: ArrayLike | None = None
) -> Float[np.ndarray, "2 *m"]:
    """Return the 95% interval of a mean, or of a difference of two.

    Means of values in 0..1, and their differences, have the intervals of `MeanEstimate` and
    `difference`, as scores have; other means have corrected percentiles, widened for few patients
    (`intervals.bound_plain`).

    Args:
        values: float [n] or [n, m], m columns at once.
        patients: patient of each of n > 0 radiographs, "" as in `bootstrap.fill_missing_patients`.
        seed: seed of the resamples.
        bounded: whether all values are in 0..1.
        less: float [n] or [n, m], whose mean is subtracted; requires bounded values.

    Returns:
        Both ends, [2] or [2, m]; NaN where there are fewer than two patients, or no resample moves the mean (unless it
        is 0 or 1, and the values are bounded).
    """
    values = np.asarray(values, np.float64)
    columns = values.reshape(len(values), -1)
    others = None if less is None else np.asarray(less, np.float64).reshape(columns.shape)
    names = bootstrap.fill_missing_patients(patients)

    def measure(weights: Weights) -> dict[int, Leaf]:
        if not bounded:
            return dict(enumerate((weights @ columns / weights.sum(1)[:, None]).T))
        means = [mean_estimate(column, weights) for column in columns.T]
        if others is None:
            return dict(enumerate(means))
        pairs = zip(means, others.T, strict=True)
        return {i: difference(mean, mean_estimate(other, weights)) for i, (mean, other) in enumerate(pairs)}

    summary = summarize(bootstrap.bootstrap(measure, names, seed=seed), names)
    ends = [summary[i]["interval"] or (np.nan, np.nan) for i in range(columns.shape[1])]
    return np.array(ends).T.reshape(2, *values.shape[1:])


def _summarize(tree: Any, n: int, design: Design, patients: float) -> Any:
    if isinstance(tree, Mapping):
        n = next((int(tree[key][0]) for key in ("support", "n") if key in tree), n)
        patients = patients if design.patients else float(n)
        return {k: int(part[0]) if k in COUNTS else _summarize(part, n, design, patients) for k, part in tree.items()}
    if not isinstance(tree, _KINDS):
        return tree
    value = float(values(tree)[0])
    n = int(round(tree.n[0])) if isinstance(tree, Proportion | F1 | MeanEstimate) else n
    interval = _interval(tree, design, patients) if n else None
    return {"value": _number(value), "interval": interval and [float(bound) for bound in interval], "n": n}


def _interval(leaf: Leaf, design: Design, patients: float) -> Interval | None:
    """Return the interval of a leaf.

    Args:
        leaf: any.
        design: of the data set.
        patients: of the radiographs that the leaf is of, for a leaf that does not count its own.
    """
    all_values = values(leaf)
    value = float(all_values[0])
    drawn = ~np.isnan(all_values)
    drawn[0] = False
    if np.isnan(value) or not drawn.any():
        return None
    sample = partial(intervals.count_sample, patients=design.patients)
    match leaf:
        case Proportion():
            return intervals.bound_share(all_values, leaf.n, design)
        case F1():
            return intervals.bound_f1(all_values, leaf.n, design)
        case MeanEstimate():
            extremes = (float(leaf.lowest[0]), float(leaf.highest[0]))
            return intervals.bound_mean(value, all_values[drawn], sample(leaf.n), extremes)
        case Auroc():
            return intervals.bound_auroc(value, all_values[drawn], sample(leaf.positives), sample(leaf.negatives))
        case AveragePrecision():
            prevalence = float(leaf.positives[0] / (leaf.positives[0] + leaf.negatives[0]))
            return intervals.bound_average_precision(value, all_values[drawn], sample(leaf.positives), prevalence)
        case BiasedEstimate():
            return _bound_biased(leaf, value, drawn, design)
        case Loss():
            return _bound_loss(leaf, value, drawn, design)
        case Combination():
            return _bound_combination(leaf, value, drawn, design, patients)
        case Ratio():
            return _bound_ratio(leaf, drawn, design, patients)
    return intervals.bound_plain(value, all_values[drawn], patients)


def _bound_biased(leaf: BiasedEstimate, value: float, drawn: Bool[np.ndarray, "r"], design: Design) -> Interval | None:
    if np.ptp(leaf.value[drawn]) < intervals.STILL:
        return None
    sample = intervals.count_sample(leaf.errors.n, design.patients)
    upward_bias = np.quantile(leaf.upward_bias[drawn], 1 - intervals.TAIL)
    concealed = np.quantile(leaf.concealed[drawn], 1 - intervals.TAIL)
    from_chance = value <= leaf.chance[0] * np.sqrt(sample.n / sample.patients)
    # Wrong predictions that were not observed may change the distance either way, since a gap has a sign.
    unobserved = float(leaf.rise[0] * intervals.exceed(leaf.errors.value, leaf.errors.n, design))
    low = 0.0 if from_chance else max(0.0, value - max(0.0, upward_bias) - unobserved)
    return low, value + max(0.0, concealed) + unobserved


def _bound_loss(leaf: Loss, value: float, drawn: Bool[np.ndarray, "r"], design: Design) -> Interval | None:
    sample = intervals.count_sample(leaf.errors.n, design.patients)
    ends = intervals.bound_plain(value, leaf.value[drawn], sample.patients)
    unobserved = intervals.exceed(leaf.errors.value, leaf.errors.n, design)
    return ends and (ends[0], ends[1] + leaf.rise[0] * unobserved)


def _bound_combination(
    leaf: Combination, value: float, drawn: Bool[np.ndarray, "r"], design: Design, patients: float
) -> Interval | None:
    defined = [(part, weight) for part, weight in zip(leaf.parts, leaf.weights[0], strict=True) if weight]
    ends, moves = _bound_parts([part for part, _ in defined], design, patients)
    if ends is None or (moves and np.ptp(leaf.value[drawn]) < intervals.STILL):
        return None
    part_values = np.stack([values(part) for part, _ in defined])
    correlation = intervals.correlate(part_values[:, drawn])
    weights = np.array([weight for _, weight in defined])
    combined = intervals.combine(value, ends, part_values[:, 0], weights, correlation)
    is_mean = (weights > 0).all()
    return intervals.reach_bounds(combined, value, leaf.value[drawn], patients) if is_mean else combined


def _bound_ratio(leaf: Ratio, drawn: Bool[np.ndarray, "r"], design: Design, patients: float) -> Interval | None:
    ends, moves = _bound_parts(leaf.parts, design, patients)
    if ends is None or (moves and np.ptp(leaf.value[drawn]) < intervals.STILL):
        return None
    part_values = np.stack([values(part) for part in leaf.parts])
    if part_values[1, 0] <= leaf.chance[0]:
        return None
    correlation = float(intervals.correlate(part_values[:, drawn])[0, 1])
    low, high = intervals.bound_ratio(part_values[:, 0] - leaf.chance[0], ends - leaf.chance[0], correlation)
    return (low, high) if np.isfinite([low, high]).all() else None


def _bound_parts(
    parts: Sequence[Leaf], design: Design, patients: float
) -> tuple[Float[np.ndarray, "k 2"] | None, bool]:
    """Return the intervals of k leaves, None if there are no leaves, and whether any leaf varies."""
    ends = []
    moves = False
    for part in parts:
        part_values = values(part)
        moves |= bool(np.nanmax(part_values) - np.nanmin(part_values) >= intervals.STILL)
        interval = _interval(part, design, patients)
        ends.append(interval or (part_values[0], part_values[0]))
    return (np.array(ends) if len(ends) else None), moves


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
