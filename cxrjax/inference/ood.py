"""Out-of-distribution (OOD) detection: is an image an upright frontal chest radiograph like the training radiographs?

Four criteria, each with a score that increases with the distance from the training radiographs:

orientation  ratio of the layout distance to the smallest layout distance of the rotated, mirrored or inverted image
layout       distance of the image, reduced to 16 x 16 pixels
lungs        largest deviation of a feature of the lung mask (`LUNG_SHAPE_FEATURES`) from the training median, relative
             to the feature's limit on that side
features     distance of the mean of the classifier's last feature maps (Lee et al. 2018)

The four criteria share the allowed rate of false alarms. All distances except those of the lungs are Mahalanobis
distances with a shrunk covariance (Ledoit & Wolf 2004). All thresholds come from the scores of training radiographs by
a detector that was fitted without them and without any other radiograph of their patients, as in cross-conformal
prediction (Vovk 2015), and are therefore not optimistic. A threshold is a quantile of these scores; that of the lungs
is the point beyond which their tail, assumed to be exponential above the 95th percentile, has the allowed rate (peaks
over threshold, Coles 2001, chapter 4), so that a single unusual mask does not disable the criterion. The limits of the
lung features are computed in the same way from their own tails.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, UInt8

from cxrjax.inference import gaussian
from cxrjax.metrics import bootstrap
from cxrjax.runtime import compilation_cache

SIDE = 16  # of the layout, in pixels: shows lungs, heart, arms and borders, but no ribs
FOLDS = 10
CRITERIA = ("orientation", "layout", "lungs", "features")

# Feature of a lung mask -> reason given if it is too low, and if it is too high ("" where that is allowed). Left and
# right refer to the image.
LUNG_SHAPE_FEATURES = {
    "area": ("lungs too small", "lungs too large"),
    "left share": ("one lung only, or a small one on the left", "one lung only, or a small one on the right"),
    "sides": ("left and right lung swapped", "lungs on the same side"),
    "row": ("lungs too high in the image", "lungs too low in the image"),
    "column": ("lungs too far to the left", "lungs too far to the right"),
    "height": ("lungs too short", "lungs too tall"),
    "width": ("lungs too narrow", "lungs too wide"),
    "taper": ("lungs wider above than below", "lungs too narrow above"),
    "gap": ("lungs too far apart", "no gap between the lungs"),
    "contrast": ("lungs too dark", "lungs too bright compared with their surroundings"),
    "confidence": ("lungs uncertain", ""),
}
# Possible change of an image -> function that undoes it in a layout [..., SIDE, SIDE] with levels in -1..1.
ORIENTATIONS: Mapping[str, Callable[[Any], Any]] = {
    "gray levels inverted": lambda x: -x,
    "rotated by 90° clockwise": lambda x: x.swapaxes(-1, -2)[..., ::-1, :],
    "rotated by 90° counterclockwise": lambda x: x.swapaxes(-1, -2)[..., ::-1],
    "rotated by 180°": lambda x: x[..., ::-1, ::-1],
    "upside down": lambda x: x[..., ::-1, :],
    "mirrored": lambda x: x[..., ::-1],
}
NO_LUNGS = "no lungs"
_REASONS = {
    "layout": "the image as a whole is unlike the training radiographs",
    "features": "the content of the lungs is unlike the training radiographs",
}


@compilation_cache.register_pytree
class OODStatistics(NamedTuple):
    """Statistics of n images that the OOD detector uses."""

    lung_shape: Float32[Array, "n m"]  # by the m names in LUNG_SHAPE_FEATURES; NaN where there are no lungs
    layout: Float32[Array, "n side side"]  # in -1..1, rank of each pixel's gray level at SIDE pixels per side
    features: Float32[Array, "n c"]  # mean of the classifier's last feature maps


class OODDetector(NamedTuple):
    """Fitted OOD detector; m is the number of LUNG_SHAPE_FEATURES."""

    median: Float[np.ndarray, "m"]  # of each feature of the lung mask
    lower_range: Float[np.ndarray, "m"]  # distance from the median to the lower limit
    upper_range: Float[np.ndarray, "m"]  # distance from the median to the upper limit; infinite where high is allowed
    layout: gaussian.GaussianFit
    features: gaussian.GaussianFit
    thresholds: Float[np.ndarray, "4"]  # of CRITERIA; an image with a higher score is out of distribution


@jax.jit
def ood_statistics(
    images: UInt8[Array, "n s s"],
    lung_mask: Bool[Array, "n s s"],
    label_map: UInt8[Array, "n s s"],
    lung_confidence: Float[Array, "n"],
    features: Float[Array, "n c"],
) -> OODStatistics:
    """Compute the statistics of images for OOD detection.

    Args:
        images: Preprocessed radiographs.
        lung_mask: Their lungs.
        label_map: Labels of `lung_masks.STRUCTURES`.
        lung_confidence: In 0..1.
        features: Mean over a radiograph's patches and the cells of their feature maps.
    """
    gray = images.astype(jnp.float32) / 255
    small = jax.image.resize(gray, (len(images), SIDE, SIDE), "linear").reshape(len(images), -1)
    ranks = small.argsort(-1).argsort(-1).astype(jnp.float32)  # does not depend on the gray scale
    layout = (2 * ranks / (SIDE * SIDE - 1) - 1).reshape(-1, SIDE, SIDE)
    lung_shape = jax.vmap(_lung_shape)(gray, lung_mask, label_map, lung_confidence)
    return OODStatistics(lung_shape, layout, features.astype(jnp.float32))


def fit_detector(statistics: OODStatistics, patients: Sequence[str], quantile: float) -> OODDetector:
    """Fit an OOD detector to training radiographs that have lungs.

    Args:
        statistics: Of n radiographs.
        patients: Patient ids of the n radiographs; each "" counts as a patient of its own. Radiographs of one patient
            are held out together.
        quantile: Fraction of such radiographs that all criteria together should accept.

    Returns:
        The detector. With fewer than about 4 / (1 - quantile) radiographs the thresholds cannot exceed the highest
        score, and more radiographs are flagged than requested; see `expected_flag_rate`.

    Raises:
        ValueError: There are fewer than two patients, or the quantile is not between 0 and 1.
    """
    if not 0 < quantile < 1:
        raise ValueError(f"ood.keep_quantile={quantile} is not between 0 and 1")
    statistics = jax.tree.map(lambda x: np.asarray(x, np.float64), statistics)
    patient = np.unique(bootstrap.fill_missing_patients(patients), return_inverse=True)[1]
    if patient.max(initial=0) < 1:
        raise ValueError("the radiographs are of fewer than two patients; an OOD detector needs at least two")
    fold = np.random.default_rng(0).permutation(patient.max() + 1)[patient] % FOLDS
    rate = (1 - quantile) / len(CRITERIA)  # of false alarms per criterion
    scores = np.zeros((len(patient), len(CRITERIA)))  # by a detector fitted without the radiograph's patient
    for k in np.unique(fold):
        rest = jax.tree.map(lambda x, rows=fold != k: x[rows], statistics)
        held_out = jax.tree.map(lambda x, rows=fold == k: x[rows], statistics)
        scores[fold == k] = _score(_fit_without_thresholds(rest, rate), held_out)
    rank = min(int(np.ceil((len(scores) + 1) * (1 - rate))), len(scores))
    thresholds = np.sort(scores, axis=0)[rank - 1]
    # A single unusual mask would determine the highest score, so this threshold is taken from the tail.
    lungs = CRITERIA.index("lungs")
    thresholds[lungs] = _tail_quantile(scores[:, [lungs]], rate)[0]
    thresholds[CRITERIA.index("orientation")] = max(thresholds[CRITERIA.index("orientation")], 1.0)
    return _fit_without_thresholds(statistics, rate)._replace(thresholds=thresholds)


def expected_flag_rate(patients: Sequence[str], quantile: float) -> float:
    """Return the rate of false alarms that a detector of `fit_detector` can be expected to have.

    It is 1 - quantile, except that no criterion can have a rate below 1 / (number of patients + 1).
    """
    count = len(set(bootstrap.fill_missing_patients(patients)))
    return len(CRITERIA) * max((1 - quantile) / len(CRITERIA), 1 / (count + 1))


def explain_ood(detector: OODDetector, statistics: OODStatistics) -> list[str]:
    """Return for each of n images the reasons why it is out of distribution, joined by "; "; "" if it is not."""
    statistics = jax.tree.map(lambda x: np.asarray(x, np.float64), statistics)
    has_lungs = ~np.isnan(statistics.lung_shape).any(1)
    exceeds = _score(detector, statistics) > detector.thresholds
    _, restored_distances = _layout_distances(detector, statistics)
    deviations = _lung_deviations(detector, statistics)
    change = restored_distances.argmin(0)
    fits_restored = restored_distances.min(0) <= detector.thresholds[CRITERIA.index("layout")]
    reasons = []
    for i, (orientation, layout, lungs, features) in enumerate(exceeds):
        worst = np.abs(deviations[i]).argmax()
        applies = {
            list(ORIENTATIONS)[change[i]]: orientation and fits_restored[i],
            NO_LUNGS: not has_lungs[i],
            list(LUNG_SHAPE_FEATURES.values())[worst][int(deviations[i, worst] > 0)]: lungs,
            _REASONS["layout"]: (orientation or layout) and not (orientation and fits_restored[i]),
            _REASONS["features"]: features and has_lungs[i],
        }
        reasons.append("; ".join(reason for reason, is_given in applies.items() if is_given))
    return reasons


def feature_limits(detector: OODDetector) -> dict[str, list[float | None]]:
    """Return the lowest and the highest accepted value of each lung feature; None where there is no limit."""
    threshold = detector.thresholds[CRITERIA.index("lungs")]
    lowest = detector.median - threshold * detector.lower_range
    highest = detector.median + threshold * detector.upper_range
    limits = np.stack([lowest, highest], 1)
    return {
        name: [x if np.isfinite(x) else None for x in pair.tolist()]
        for name, pair in zip(LUNG_SHAPE_FEATURES, limits, strict=True)
    }


def _lung_shape(
    gray: Float[Array, "s s"], lungs: Bool[Array, "s s"], label_map: UInt8[Array, "s s"], confidence: Float[Array, ""]
) -> Float[Array, "m"]:
    """Compute the LUNG_SHAPE_FEATURES of one image; lengths and positions are fractions of its side."""
    size = gray.shape[0]
    position = (jnp.arange(size) + 0.5) / size
    area = lungs.mean()
    by_row = lungs.mean(1) / area  # with mean 1, as by_column
    by_column = lungs.mean(0) / area

    def moment(density: Float[Array, "s"], center: Float[Array, ""] | float, power: int) -> Float[Array, ""]:
        return (density * (position - center) ** power).mean()

    row = moment(by_row, 0.0, 1)
    column = moment(by_column, 0.0, 1)
    height = jnp.sqrt(moment(by_row, row, 2))
    width = jnp.sqrt(moment(by_column, column, 2))
    on_left = jnp.broadcast_to(position < 0.5, lungs.shape)
    right_lung = label_map == 3  # on the left of the image
    values = {
        "area": area,
        "left share": (lungs & on_left).mean() / area,
        "sides": (lungs & (right_lung == on_left)).mean() / area,
        "row": row,
        "column": column,
        "height": height,
        "width": width,
        "taper": -moment(by_row, row, 3) / height**3,
        "gap": (by_column * (jnp.abs(position - column) < width / 3)).mean(),
        "contrast": (gray * lungs).mean() / area - (gray * ~lungs).mean() / (1 - area),
        "confidence": confidence,
    }
    return jnp.where(lungs.any(), jnp.stack([values[name] for name in LUNG_SHAPE_FEATURES]), jnp.nan)


def _fit_without_thresholds(statistics: OODStatistics, rate: float) -> OODDetector:
    """Fit a detector without thresholds, with a rate of false alarms for the lung features."""
    is_limited = np.array(list(LUNG_SHAPE_FEATURES.values())) != ""  # [m, 2], lower and upper side
    median = np.median(statistics.lung_shape, axis=0)
    deviation = statistics.lung_shape - median
    upper_range = _tail_quantile(deviation, rate / is_limited.sum())
    return OODDetector(
        median=median,
        lower_range=_tail_quantile(-deviation, rate / is_limited.sum()),
        upper_range=np.where(is_limited[:, 1], upper_range, np.inf),
        layout=gaussian.fit_gaussian(statistics.layout.reshape(len(statistics.layout), -1)),
        features=gaussian.fit_gaussian(statistics.features),
        thresholds=np.full(len(CRITERIA), np.inf),
    )


def _tail_quantile(x: Float[np.ndarray, "n m"], rate: float) -> Float[np.ndarray, "m"]:
    """Return the value that each column of x exceeds at a rate, assuming an exponential tail."""
    tail = 0.05  # fraction of the values that the tail is fitted to
    minimum = 0.02  # for a feature that hardly varies; features are fractions, or of that order
    start = np.quantile(x, 1 - tail, axis=0)
    excess = np.maximum(x - start, 0).mean(0) / tail
    return np.maximum(start + excess * np.log(max(tail / rate, 1.0)), minimum)


def _layout_distances(
    detector: OODDetector, statistics: OODStatistics
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "orientations n"]]:
    """Return the distances of the layouts, and of those with each of ORIENTATIONS undone."""
    distance = partial(gaussian.measure_distance, detector.layout)
    restored = [undo(statistics.layout) for undo in ORIENTATIONS.values()]
    return distance(statistics.layout), np.stack([distance(layout) for layout in restored])


def _lung_deviations(detector: OODDetector, statistics: OODStatistics) -> Float[np.ndarray, "n m"]:
    """Return the deviations of the lung features from the median, relative to the range on their side."""
    deviation = statistics.lung_shape - detector.median
    return deviation / np.where(deviation < 0, detector.lower_range, detector.upper_range)


def _score(detector: OODDetector, statistics: OODStatistics) -> Float[np.ndarray, "n 4"]:
    """Return the scores of CRITERIA; NaN, which exceeds no threshold, for the lungs of an image without."""
    layout, restored = _layout_distances(detector, statistics)
    scores = {
        "orientation": layout / restored.min(0),
        "layout": layout,
        "lungs": np.abs(_lung_deviations(detector, statistics)).max(1),
        "features": gaussian.measure_distance(detector.features, statistics.features),
    }
    return np.stack([scores[criterion] for criterion in CRITERIA], 1)
