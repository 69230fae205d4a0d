"""Whether a picture is an upright frontal chest radiograph such as the network was trained on, and if not, why not.

Four rules, each a score of which more is stranger:

orientation  how much nearer to the training radiographs the picture lies once turned, mirrored or inverted
layout       distance of the picture as a whole, 16 x 16 pixels of it, from them
lungs        the measure of the lung mask (`MEASURES`) that is farthest from their median, in distances from it to the
             measure's limit on that side
features     distance of the mean of the classifier's last feature maps from theirs (Lee et al. 2018)

The four share what may be flagged in error. The distances but those of the lungs are Mahalanobis's, the covariance
shrunk (Ledoit & Wolf 2004). All thresholds are of the scores of training radiographs by a gate fitted without them and
without any other radiograph of their patients, as in cross-conformal prediction (Vovk 2015), hence not optimistic: a
quantile of them, and of the lungs where their tail, taken to be exponential beyond the 95th percentile, holds the
share that may be flagged (peaks over a threshold, Coles 2001, chapter 4), so that one odd mask does not open the rule.
A limit of a measure is where its own tail does.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from cxrjax.inference import gaussian
from cxrjax.metrics import bootstrap
from cxrjax.runtime import compilation_cache

SIDE = 16  # pixels of the picture's layout; ribs are gone, lungs, heart, arms and borders are not
FOLDS = 10
CRITERIA = ("orientation", "layout", "lungs", "features")

# Measure of a lung mask -> what is said where it is too low, and too high ("": that is no fault). Left and right are
# the picture's.
LUNG_SHAPE_FEATURES = {
    "area": ("lungs too small", "lungs too large"),
    "left share": ("one lung only, or a small one on the left", "one lung only, or a small one on the right"),
    "sides": ("left and right lung exchanged", "lungs on the same side"),
    "row": ("lungs too high in the picture", "lungs too low in the picture"),
    "column": ("lungs too far to the left", "lungs too far to the right"),
    "height": ("lungs too short", "lungs too tall"),
    "width": ("lungs too narrow", "lungs too wide"),
    "taper": ("lungs wider above than below", "lungs too narrow above"),
    "gap": ("lungs too far apart", "no gap between the lungs"),
    "contrast": ("lungs too dark", "lungs too bright for what is around them"),
    "confidence": ("lungs uncertain", ""),
}
# What may have happened to a picture, and what undoes it to its layout [..., SIDE, SIDE] of levels in -1..1.
ORIENTATIONS: Mapping[str, Callable[[Any], Any]] = {
    "grey levels inverted": lambda x: -x,
    "turned by 90° clockwise": lambda x: x.swapaxes(-1, -2)[..., ::-1, :],
    "turned by 90° counterclockwise": lambda x: x.swapaxes(-1, -2)[..., ::-1],
    "turned by 180°": lambda x: x[..., ::-1, ::-1],
    "upside down": lambda x: x[..., ::-1, :],
    "mirrored": lambda x: x[..., ::-1],
}
NO_LUNGS = "no lungs"
_STRANGE = {
    "layout": "the picture as a whole is unlike the training radiographs",
    "features": "what the lungs show is unlike the training radiographs",
}


@compilation_cache.register_pytree
class OODStatistics(NamedTuple):
    """What the gate looks at, of n pictures."""

    measures: Array  # float32 [n, len(MEASURES)]; NaN where there are no lungs
    layout: Array  # float32 [n, SIDE, SIDE] in -1..1, the rank of each pixel's grey level
    features: Array  # float32 [n, C]


class OODDetector(NamedTuple):
    """A fitted gate."""

    middle: NDArray[np.float64]  # [M], the median of each measure
    below: NDArray[np.float64]  # [M], from there down to the limit
    above: NDArray[np.float64]  # [M], from there up to the limit; infinite where high is no fault
    layout: gaussian.GaussianFit
    features: gaussian.GaussianFit
    thresholds: NDArray[np.float64]  # [4], of RULES; a higher score is out of place


@jax.jit
def ood_statistics(images: Array, lungs: Array, structures: Array, confidence: Array, features: Array) -> OODStatistics:
    """Gather the evidence.

    Args:
        images: uint8 [B, S, S], standardised.
        lungs: bool [B, S, S].
        structures: uint8 [B, S, S], labels of `lung_masks.STRUCTURES`.
        confidence: float [B] in 0..1, of the lungs.
        features: float [B, C], mean over a radiograph's patches and their pixels.

    Returns:
        The Evidence.
    """
    grey = images.astype(jnp.float32) / 255
    small = jax.image.resize(grey, (len(images), SIDE, SIDE), "linear").reshape(len(images), -1)
    ranks = small.argsort(-1).argsort(-1).astype(jnp.float32)  # whatever the grey scale was, the same
    layout = (2 * ranks / (SIDE * SIDE - 1) - 1).reshape(-1, SIDE, SIDE)
    measures = jax.vmap(_measure)(grey, lungs, structures, confidence)
    return OODStatistics(measures, layout, features.astype(jnp.float32))


def fit_detector(evidence: OODStatistics, patients: Sequence[str], quantile: float) -> OODDetector:
    """Fit a gate to training radiographs that have lungs.

    Args:
        evidence: of n radiographs.
        patients: n; those of one patient are left out together. "" is a patient each time.
        quantile: share of such radiographs that all rules together are to let through.

    Returns:
        The Gate. Of fewer than some 4 / (1 - quantile) radiographs, no threshold lies above the strangest of them, and
        more are flagged than is wanted; see `expect_flagged`.

    Raises:
        ValueError: fewer than two patients, or no such quantile.
    """
    if not 0 < quantile < 1:
        raise ValueError(f"gate.quantile={quantile} is not between 0 and 1")
    evidence = jax.tree.map(lambda x: np.asarray(x, np.float64), evidence)
    patient = np.unique(bootstrap.fill_missing_patients(patients), return_inverse=True)[1]
    if patient.max(initial=0) < 1:
        raise ValueError("a gate is fitted to the radiographs of two patients at least")
    fold = np.random.default_rng(0).permutation(patient.max() + 1)[patient] % FOLDS
    share = (1 - quantile) / len(CRITERIA)  # what each rule may flag in error
    scores = np.zeros((len(patient), len(CRITERIA)))  # of each radiograph, by a gate that has not seen its patient
    for k in np.unique(fold):
        rest, held_out = (jax.tree.map(lambda x, rows=rows: x[rows], evidence) for rows in (fold != k, fold == k))
        scores[fold == k] = _score(_locate(rest, share), held_out)
    rank = min(int(np.ceil((len(scores) + 1) * (1 - share))), len(scores))
    thresholds = np.sort(scores, axis=0)[rank - 1]
    # One odd mask would be the highest score, so that its rule's threshold is that of a tail and not a rank.
    lungs = CRITERIA.index("lungs")
    thresholds[lungs] = _reach(scores[:, [lungs]], share)[0]
    thresholds[CRITERIA.index("orientation")] = max(thresholds[CRITERIA.index("orientation")], 1.0)
    return _locate(evidence, share)._replace(thresholds=thresholds)


def expected_flag_rate(patients: Sequence[str], quantile: float) -> float:
    """Return the share of such radiographs that a gate of `fit` may flag in error, by its rules taken together.

    It is 1 - quantile, but that no rule can flag less than one in as many patients, and one, as it was fitted to.
    """
    count = len(set(bootstrap.fill_missing_patients(patients)))
    return len(CRITERIA) * max((1 - quantile) / len(CRITERIA), 1 / (count + 1))


def explain_ood(gate: OODDetector, evidence: OODStatistics) -> list[str]:
    """Say of each of n pictures why it is out of place: "" where it is not, else its reasons, joined by "; "."""
    evidence = jax.tree.map(lambda x: np.asarray(x, np.float64), evidence)
    there = ~np.isnan(evidence.measures).any(1)
    out = _score(gate, evidence) > gate.thresholds
    undone, signed = _undo(gate, evidence)[1], _spreads(gate, evidence)
    turns, fits = undone.argmin(0), undone.min(0) <= gate.thresholds[CRITERIA.index("layout")]
    reasons = []
    for i, (turned, strange, odd, unlike) in enumerate(out):
        worst = np.abs(signed[i]).argmax()
        words = {
            list(ORIENTATIONS)[turns[i]]: turned and fits[i],
            NO_LUNGS: not there[i],
            list(LUNG_SHAPE_FEATURES.values())[worst][int(signed[i, worst] > 0)]: odd,
            _STRANGE["layout"]: (turned or strange) and not (turned and fits[i]),
            _STRANGE["features"]: unlike and there[i],
        }
        reasons.append("; ".join(word for word, applies in words.items() if applies))
    return reasons


def feature_limits(gate: OODDetector) -> dict[str, list[float | None]]:
    """The lowest and the highest of each measure that is let through; None where there is no limit."""
    reach = gate.thresholds[CRITERIA.index("lungs")]
    ends = np.stack([gate.middle - reach * gate.below, gate.middle + reach * gate.above], 1)
    return {
        name: [x if np.isfinite(x) else None for x in pair.tolist()]
        for name, pair in zip(LUNG_SHAPE_FEATURES, ends, strict=True)
    }


def _measure(grey: Array, lungs: Array, structures: Array, confidence: Array) -> Array:
    """MEASURES of one picture, lengths and places as shares of its side."""
    size = grey.shape[0]
    place = (jnp.arange(size) + 0.5) / size
    area = lungs.mean()
    by_row, by_column = (lungs.mean(axis) / area for axis in (1, 0))  # means of these are 1

    def moment(share: Array, centre: Array, power: int) -> Array:
        return (share * (place - centre) ** power).mean()

    row, column = moment(by_row, 0.0, 1), moment(by_column, 0.0, 1)
    height, width = jnp.sqrt(moment(by_row, row, 2)), jnp.sqrt(moment(by_column, column, 2))
    on_left = jnp.broadcast_to(place < 0.5, lungs.shape)
    right_lung = structures == 3  # which the picture shows on its left
    values = {
        "area": area,
        "left share": (lungs & on_left).mean() / area,
        "sides": (lungs & (right_lung == on_left)).mean() / area,
        "row": row,
        "column": column,
        "height": height,
        "width": width,
        "taper": -moment(by_row, row, 3) / height**3,
        "gap": (by_column * (jnp.abs(place - column) < width / 3)).mean(),
        "contrast": (grey * lungs).mean() / area - (grey * ~lungs).mean() / (1 - area),
        "confidence": confidence,
    }
    return jnp.where(lungs.any(), jnp.stack([values[name] for name in LUNG_SHAPE_FEATURES]), jnp.nan)


def _locate(evidence: OODStatistics, share: float) -> OODDetector:
    """A gate without thresholds, each rule of which may flag a share in error."""
    faults = np.array(list(LUNG_SHAPE_FEATURES.values())) != ""  # [M, 2], the sides that are looked at
    middle = np.median(evidence.measures, axis=0)
    below, above = (_reach(sign * (evidence.measures - middle), share / faults.sum()) for sign in (-1, 1))
    return OODDetector(
        middle,
        below,
        np.where(faults[:, 1], above, np.inf),
        gaussian.fit_gaussian(evidence.layout.reshape(len(evidence.layout), -1)),
        gaussian.fit_gaussian(evidence.features),
        np.full(len(CRITERIA), np.inf),
    )


def _reach(x: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """How far each column of x [n, M] goes up but for a share of its values, by an exponential tail."""
    tail, least = 0.05, 0.02  # the least is for a measure that hardly changes; all are shares, or of their order
    start = np.quantile(x, 1 - tail, axis=0)
    excess = np.maximum(x - start, 0).mean(0) / tail
    return np.maximum(start + excess * np.log(max(tail / share, 1.0)), least)


def _undo(gate: OODDetector, evidence: OODStatistics) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances of the layouts as they are [n], and with each of TURNS undone [turns, n]."""
    distance = partial(gaussian.measure_distance, gate.layout)
    return distance(evidence.layout), np.stack([distance(undo(evidence.layout)) for undo in ORIENTATIONS.values()])


def _spreads(gate: OODDetector, evidence: OODStatistics) -> NDArray[np.float64]:
    """How far the measures [n, M] lie from the median, in distances of the limit on their side."""
    apart = evidence.measures - gate.middle
    return apart / np.where(apart < 0, gate.below, gate.above)


def _score(gate: OODDetector, evidence: OODStatistics) -> NDArray[np.float64]:
    """The scores [n, 4] of RULES; NaN, which no threshold flags, of lungs that are not there."""
    here, turned = _undo(gate, evidence)
    lungs = np.abs(_spreads(gate, evidence)).max(1)
    return np.stack([here / turned.min(0), here, lungs, gaussian.measure_distance(gate.features, evidence.features)], 1)
