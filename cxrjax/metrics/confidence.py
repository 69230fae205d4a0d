"""Scores over resamples, and what is said of them: the value, its 95% interval, and n.

A measure takes weights [r, n], r times a weight for each of n radiographs, and gives a tree of dicts. Its leaves are
arrays [r] or one of the classes below, which say what kind of score it is and so which interval it has; the keys of
`COUNTS` hold numbers of radiographs; what is no array is the same in every resample. Row 0 is the data themselves, the
rest are resamples.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxrjax.metrics import bootstrap, intervals
from cxrjax.metrics.intervals import Design, Interval

COUNTS = ("n", "no_prediction", "failed", "out_of_distribution", "support")


class Proportion(NamedTuple):
    """A proportion of radiographs."""

    value: NDArray  # [r] in 0..1, NaN where it is of none
    of: NDArray  # [r], how many radiographs it is of


class F1(NamedTuple):
    """An F1 score."""

    value: NDArray  # [r] in 0..1, NaN where it is of none
    of: NDArray  # [r], the mean of the radiographs of the class and of those called so


class MeanEstimate(NamedTuple):
    """A mean, over those radiographs of which a value is known, of values in 0..1."""

    value: NDArray  # [r], NaN where it is of none
    of: NDArray  # [r], how many radiographs it is of
    lowest: NDArray  # [r] in 0..1, the lowest value that one more radiograph may have
    highest: NDArray  # [r] in 0..1, the highest


class Auroc(NamedTuple):
    """An area under the ROC curve."""

    value: NDArray  # [r] in 0..1, NaN where there are no positives or no negatives
    positives: NDArray  # [r], how many
    negatives: NDArray  # [r], how many


class AveragePrecision(NamedTuple):
    """An area under the precision-recall curve."""

    value: NDArray  # [r] in 0..1, NaN where there are no positives
    positives: NDArray  # [r], how many
    negatives: NDArray  # [r], how many


class BiasedEstimate(NamedTuple):
    """A distance f(g) of gaps g from none, convex in them, so that the noise d of the gaps seen pushes it up.

    Resampled, it would be pushed up once more; so a measure says what the noise of a resample does to it.
    """

    value: NDArray  # [r], f(g + d); 0 at best
    pushed: NDArray  # [r], at least how far d may have pushed it up, of a resample's d: 0 in the data
    hidden: NDArray  # [r], -f'(g + d) d: as f is convex, the truth is never further above the value than -f'(g) d
    chance: NDArray  # [r], what noise of independent radiographs alone reaches in 97.5%; 0 where that is not known
    errors: Proportion  # wrong findings; while few are seen, more than the resamples show may be hidden
    rise: NDArray  # [r], how far the value would move at most if all findings that are right were wrong


class Loss(NamedTuple):
    """A mean loss, most of which may be that of a few wrong findings."""

    value: NDArray  # [r]
    errors: Proportion  # wrong findings
    rise: NDArray  # [r], how much greater the loss of a finding is where it is wrong


class Combination(NamedTuple):
    """A weighted sum of other scores: a mean over classes, or a difference of two networks."""

    value: NDArray  # [r], NaN where it is of none
    parts: tuple[Any, ...]  # K leaves
    weights: NDArray  # [r, K], of the parts; 0 of one that is not known


class Ratio(NamedTuple):
    """A score over another, both less what chance reaches."""

    value: NDArray  # [r]
    parts: tuple[Any, Any]  # leaves
    chance: NDArray  # [r], what is taken from both


Leaf = NDArray | Proportion | F1 | MeanEstimate | Auroc | AveragePrecision | BiasedEstimate | Loss | Combination | Ratio
_KINDS = (np.ndarray, Proportion, F1, MeanEstimate, Auroc, AveragePrecision, BiasedEstimate, Loss, Combination, Ratio)


def proportion(part: NDArray, whole: NDArray) -> Proportion:
    """Return the Proportion of `part` in `whole`, both weighted numbers of radiographs of equal shape."""
    return Proportion(safe_divide(part, whole), whole)


def mean_estimate(values: NDArray, weights: NDArray) -> MeanEstimate:
    """Return the mean over those of n radiographs whose value is not NaN.

    One more radiograph may have the lowest or the highest value that is seen.

    Args:
        values: [n] in 0..1.
        weights: [r, n].
    """
    known = ~np.isnan(values)
    count = weights @ known
    seen = values[known] if known.any() else np.zeros(1)
    extremes = [np.full(len(count), end) for end in (seen.min(), seen.max())]
    return MeanEstimate(safe_divide(weights @ np.nan_to_num(values), count), count, *extremes)


def mean_of(parts: Sequence[Leaf], weights: Sequence[float] | None = None) -> Combination:
    """Return the mean of leaves over those that are known, weighted if weights are given."""
    each = np.stack([values(part) for part in parts], -1)
    known = ~np.isnan(each) * (np.ones(len(parts)) if weights is None else np.asarray(weights, float))
    scaled = safe_divide(known, known.sum(-1, keepdims=True))
    value = np.where(known.any(-1), (np.nan_to_num(scaled) * np.nan_to_num(each)).sum(-1), np.nan)
    return Combination(value, tuple(parts), np.nan_to_num(scaled))


def difference(first: Leaf, second: Leaf) -> Combination:
    """Return the first leaf less the second."""
    value = values(first) - values(second)
    return Combination(value, (first, second), np.tile([1.0, -1.0], (len(value), 1)))


def share_above(first: Leaf, second: Leaf, chance: float) -> Ratio:
    """Return (first - chance) / (second - chance)."""
    above, whole = values(first) - chance, values(second) - chance
    return Ratio(safe_divide(above, whole), (first, second), np.full(len(above), chance))


def safe_divide(a: NDArray, b: NDArray) -> NDArray:
    """Return a / b, and NaN where b is 0."""
    return np.divide(a, b, out=np.full(np.broadcast(a, b).shape, np.nan), where=b != 0)


def values(leaf: Leaf) -> NDArray:
    """Return a leaf's values [r]."""
    return leaf if isinstance(leaf, np.ndarray) else leaf.value


def point_estimates(tree: Any) -> Any:
    """Return what a tree says of the data themselves: numbers alone, None for NaN."""
    if isinstance(tree, Mapping):
        return {key: int(part[0]) if key in COUNTS else point_estimates(part) for key, part in tree.items()}
    return _number(values(tree)[0])


def summarize(tree: Any, patients: Sequence[str] = (), n: int = 0) -> Any:
    """Describe every leaf of a tree as {"value", "interval", "n"}; None for what cannot be earned.

    Intervals are those of `intervals`: Jeffreys' of a `Proportion` and an `F1`, Fay and Feuer's of a `MeanEstimate`,
    Newcombe's of an `Auroc`, each with the variance that resamples of patients give; those of a `Combination` and a
    `Ratio` come from the intervals of their parts; all other leaves have corrected percentiles. A `BiasedEstimate`
    reaches from the value less what noise may have pushed it up by, or from 0 where chance alone reaches the value, to
    the value and what noise may have hidden of it: it holds the truth as often as it says or more often.

    There is no interval where there is one patient, and of a score that no resample moves, unless it is a share or an
    area that is 0 or 1, or comes from such.

    Args:
        tree: see above.
        patients: of each radiograph, as they were resampled; empty where each has a patient of its own.
        n: radiographs, for the leaves that stand in no dict with a "support" or "n"; those of `patients` if 0.
    """
    several = len(set(patients)) < len(patients)
    design = Design(len(set(patients)), bootstrap.design_effect(patients)) if several else Design()
    n = n or len(patients)
    return _describe(tree, n, design, float(design.patients or n))


def _describe(tree: Any, n: int, design: Design, patients: float) -> Any:
    if isinstance(tree, Mapping):
        n = next((int(tree[key][0]) for key in ("support", "n") if key in tree), n)
        patients = patients if design.patients else float(n)
        return {k: int(part[0]) if k in COUNTS else _describe(part, n, design, patients) for k, part in tree.items()}
    if not isinstance(tree, _KINDS):
        return tree
    value = float(values(tree)[0])
    n = int(round(tree.of[0])) if isinstance(tree, Proportion | F1 | MeanEstimate) else n
    interval = _interval(tree, design, patients) if n else None
    return {"value": _number(value), "interval": interval and [float(bound) for bound in interval], "n": n}


def _interval(leaf: Leaf, design: Design, patients: float) -> Interval | None:
    """Return the interval of a leaf.

    Args:
        leaf: any.
        design: of the data set.
        patients: of the radiographs that the leaf is of, for a leaf that does not count its own.
    """
    every = values(leaf)
    value, drawn = float(every[0]), ~np.isnan(every)
    drawn[0] = False
    if np.isnan(value) or not drawn.any():
        return None

    def sample(counts: NDArray) -> intervals.Sample:
        return intervals.count_sample(counts, design.patients)

    match leaf:
        case Proportion():
            return intervals.bound_share(every, leaf.of, design)
        case F1():
            return intervals.bound_f1(every, leaf.of, design)
        case MeanEstimate():
            extremes = float(leaf.lowest[0]), float(leaf.highest[0])
            return intervals.bound_mean(value, every[drawn], sample(leaf.of), extremes)
        case Auroc():
            return intervals.bound_auroc(value, every[drawn], sample(leaf.positives), sample(leaf.negatives))
        case AveragePrecision():
            prevalence = float(leaf.positives[0] / (leaf.positives[0] + leaf.negatives[0]))
            return intervals.bound_average_precision(value, every[drawn], sample(leaf.positives), prevalence)
        case BiasedEstimate():
            return _bound_inflated(leaf, value, drawn, design)
        case Loss():
            return _bound_loss(leaf, value, drawn, design)
        case Combination():
            return _bound_combination(leaf, value, drawn, design, patients)
        case Ratio():
            return _bound_ratio(leaf, drawn, design, patients)
    return intervals.bound_plain(value, every[drawn], patients)


def _bound_inflated(leaf: BiasedEstimate, value: float, drawn: NDArray, design: Design) -> Interval | None:
    if np.ptp(leaf.value[drawn]) < intervals.STILL:
        return None
    sample = intervals.count_sample(leaf.errors.of, design.patients)
    pushed, hidden = (np.quantile(part[drawn], 1 - intervals.TAIL) for part in (leaf.pushed, leaf.hidden))
    from_chance = value <= leaf.chance[0] * np.sqrt(sample.n / sample.patients)
    # Wrong findings that were not seen move a distance from 0 either way, where it is that of a gap with a sign.
    unseen = float(leaf.rise[0] * intervals.exceed(leaf.errors.value, leaf.errors.of, design))
    low = 0.0 if from_chance else max(0.0, value - max(0.0, pushed) - unseen)
    return low, value + max(0.0, hidden) + unseen


def _bound_loss(leaf: Loss, value: float, drawn: NDArray, design: Design) -> Interval | None:
    sample = intervals.count_sample(leaf.errors.of, design.patients)
    ends = intervals.bound_plain(value, leaf.value[drawn], sample.patients)
    unseen = intervals.exceed(leaf.errors.value, leaf.errors.of, design)
    return ends and (ends[0], ends[1] + leaf.rise[0] * unseen)


def _bound_combination(
    leaf: Combination, value: float, drawn: NDArray, design: Design, patients: float
) -> Interval | None:
    known = [(part, w) for part, w in zip(leaf.parts, leaf.weights[0], strict=True) if w]
    ends, moves = _bound_parts([part for part, _ in known], design, patients)
    if ends is None or (moves and np.ptp(leaf.value[drawn]) < intervals.STILL):
        return None
    each = np.stack([values(part) for part, _ in known])
    correlation = intervals.correlate(each[:, drawn])
    weights = np.array([w for _, w in known])
    combined = intervals.combine(value, ends, each[:, 0], weights, correlation)
    is_mean = (weights > 0).all()
    return intervals.reach_bounds(combined, value, leaf.value[drawn], patients) if is_mean else combined


def _bound_ratio(leaf: Ratio, drawn: NDArray, design: Design, patients: float) -> Interval | None:
    ends, moves = _bound_parts(leaf.parts, design, patients)
    if ends is None or (moves and np.ptp(leaf.value[drawn]) < intervals.STILL):
        return None
    each = np.stack([values(part) for part in leaf.parts])
    if each[1, 0] <= leaf.chance[0]:
        return None
    correlation = float(intervals.correlate(each[:, drawn])[0, 1])
    low, high = intervals.bound_ratio(each[:, 0] - leaf.chance[0], ends - leaf.chance[0], correlation)
    return (low, high) if np.isfinite([low, high]).all() else None


def _bound_parts(parts: Sequence[Leaf], design: Design, patients: float) -> tuple[NDArray | None, bool]:
    """Return the intervals [K, 2] of leaves, and whether any moves; None where one has no interval and yet may vary."""
    ends = []
    moves = False
    for part in parts:
        every = values(part)
        moves |= bool(np.nanmax(every) - np.nanmin(every) >= intervals.STILL)
        interval = _interval(part, design, patients)
        ends.append(interval or (every[0], every[0]))
    return (np.array(ends) if len(ends) else None), moves


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
