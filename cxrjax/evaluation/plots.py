"""Which figures an evaluation of findings has, each as PNG and SVG: their curves, from rows and scores."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cxrjax import plotting
from cxrjax.evaluation import tables
from cxrjax.metrics import calibration, classification, proportions, roc
from cxrjax.metrics.prediction_arrays import PredictionArrays

FORMS = (".png", ".svg")


def draw(cases: PredictionArrays, scores: Mapping[str, Any], folder: Path) -> None:
    """Draws confusion, ranking, reliability, referral and settling; one that the rows cannot tell is taken away.

    Args:
        cases: the radiographs.
        scores: of `scoring.score`.
        folder: to draw them in.
    """
    matrix = classification.confusion_counts(cases.truth, cases.found, len(cases.classes))
    charts: dict[str, Callable[[Path], None] | None] = dict.fromkeys(("reliability", "referral", "settling"))
    charts |= {
        "confusion": partial(plotting.draw_confusion, matrix, cases.classes),
        "ranking": partial(plotting.draw_roc_curves, [_rank(cases, scores, k) for k in _ranked(cases)]),
    }
    if scores["calibration"]:
        curves = [_calibrate(cases, name, one) for name, one in scores["calibration"].items()]
        charts["reliability"] = partial(plotting.draw_reliability, curves)
    if scores["referral"]:
        bands = [
            _band(
                f"by {name}, area {tables.format_estimate(one['area'], 2)}",
                {float(x): y for x, y in one["accuracy"].items()},
            )
            for name, one in scores["referral"].items()
        ]
        labels = "accuracy of the findings that are kept", "share of radiographs referred, the least certain first"
        charts["referral"] = partial(plotting.draw_shares, bands, *labels)
    if scores["settling"]:
        bands = [
            _band(name, {int(size): each[kind] for size, each in scores["settling"].items()})
            for kind, name in (
                ("stability", "finding is that of all patches"),
                ("agreement", "share of votes for it"),
                ("accuracy", "finding is right"),
            )
        ]
        labels = "how findings settle as more patches vote", "patches a radiograph votes with"
        charts["settling"] = partial(plotting.draw_shares, bands, *labels, logarithmic=True)
    for name, chart in charts.items():
        for file in (folder / f"{name}{form}" for form in FORMS):
            chart(file) if chart else file.unlink(missing_ok=True)


def _ranked(cases: PredictionArrays) -> list[int]:
    """Classes that can be put before others: there are some of it and some of another."""
    return [k for k in range(len(cases.classes)) if 0 < (cases.truth == k).sum() < len(cases.truth)]


def _rank(cases: PredictionArrays, scores: Mapping[str, Any], k: int) -> plotting.RocCurve:
    name, positive = cases.classes[k], cases.truth == k
    order = roc.roc_counts(positive, cases.probabilities[:, k], np.ones((1, len(positive))))
    hits, alarms = order.hits[0], order.alarms[0]
    precision = hits[1:] / (hits + alarms)[1:]
    points = scores["operating_points"].get(name, {}).values()
    return plotting.RocCurve(
        name=name,
        false_positive_rate=alarms / alarms[-1],
        sensitivity=hits / hits[-1],
        precision=np.append(precision[0], precision),
        prevalence=positive.mean(),
        areas=tuple(
            tables.format_estimate(scores["all"]["classes"][name][area], 2) for area in ("auroc", "average_precision")
        ),
        points=[
            (1 - point["specificity"]["value"], point["sensitivity"]["value"])
            for point in points
            if point["threshold"] is not None
        ],
    )


def _calibrate(cases: PredictionArrays, name: str, score: Mapping[str, Any]) -> plotting.ReliabilityCurve:
    rows = cases.claimed
    probabilities = calibration.apply_temperature(cases.probabilities[rows], score["temperature"])
    claimed = probabilities[np.arange(len(rows)), cases.found[rows]]
    weights = np.ones((1, len(rows)))
    curve = calibration.reliability(claimed, cases.right[rows], calibration.equal_count_bins(claimed), weights)
    low, high = np.transpose([proportions.wilson(*bin) for bin in zip(curve.true[0], curve.weight[0], strict=True)])
    words = {"raw": "as the patches say", "scaled": f"at the temperature {score['temperature']:.2f}"}
    return plotting.ReliabilityCurve(
        f"{words[name]}: ECE {tables.format_estimate(score['ece'], 2)}", curve.claimed[0], curve.true[0], low, high
    )


def _band(name: str, scores: Mapping[float, Mapping[str, Any]]) -> plotting.CurveWithCI:
    """A curve of scores by what is chosen; where one has no interval, the band has no width."""
    there = {x: score for x, score in scores.items() if score["value"] is not None}
    values = [score["value"] for score in there.values()]
    ends = [score["interval"] or [score["value"]] * 2 for score in there.values()]
    return plotting.CurveWithCI(name, list(there), values, *np.reshape(ends, (-1, 2)).T)
