"""Which figures an evaluation of findings has, each as PNG and SVG: their curves, from rows and scores."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cxrjax import figures, metrics
from cxrjax.findings import Findings
from cxrjax.statistics import calibration, proportions, ranking

FORMS = (".png", ".svg")


def draw(cases: Findings, scores: Mapping[str, Any], folder: Path) -> None:
    """Draws confusion, ranking, reliability, referral and settling, as far as the rows can tell.

    Args:
        cases: the radiographs.
        scores: of `score.score`.
        folder: to draw them in.
    """
    matrix = metrics.count_cells(cases.truth, cases.found, len(cases.classes))
    charts: dict[str, Callable[[Path], None]] = {
        "confusion": partial(figures.draw_confusion, matrix, cases.classes),
        "ranking": partial(figures.draw_ranking, [_rank(cases, scores, k) for k in _ranked(cases)]),
    }
    if scores["calibration"]:
        curves = [_calibrate(cases, name, one) for name, one in scores["calibration"].items()]
        charts["reliability"] = partial(figures.draw_reliability, curves)
    if scores["referral"]:
        bands = [
            _band(f"by {name}, area {_text(one['area'])}", {float(x): y for x, y in one["accuracy"].items()})
            for name, one in scores["referral"].items()
        ]
        labels = "accuracy of the findings that are kept", "share of radiographs referred, the least certain first"
        charts["referral"] = partial(figures.draw_shares, bands, *labels)
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
        charts["settling"] = partial(figures.draw_shares, bands, *labels, logarithmic=True)
    for name, chart in charts.items():
        for form in FORMS:
            chart(folder / f"{name}{form}")


def _ranked(cases: Findings) -> list[int]:
    """Classes that can be put before others: there are some of it and some of another."""
    return [k for k in range(len(cases.classes)) if 0 < (cases.truth == k).sum() < len(cases.truth)]


def _rank(cases: Findings, scores: Mapping[str, Any], k: int) -> figures.Ranked:
    name, positive = cases.classes[k], cases.truth == k
    order = ranking.rank(positive, cases.probabilities[:, k], np.ones((1, len(positive))))
    hits, alarms = order.hits[0], order.alarms[0]
    precision = hits[1:] / (hits + alarms)[1:]
    points = scores["operating_points"].get(name, {}).values()
    return figures.Ranked(
        name=name,
        false_positive_rate=alarms / alarms[-1],
        sensitivity=hits / hits[-1],
        precision=np.append(precision[0], precision),
        prevalence=positive.mean(),
        areas=tuple(_text(scores["all"]["classes"][name][area]) for area in ("auroc", "average_precision")),
        points=[(1 - point["specificity"]["value"], point["sensitivity"]["value"]) for point in points],
    )


def _calibrate(cases: Findings, name: str, score: Mapping[str, Any]) -> figures.Calibrated:
    rows = cases.claimed
    probabilities = calibration.apply_temperature(cases.probabilities[rows], score["temperature"])
    claimed = probabilities[np.arange(len(rows)), cases.found[rows]]
    weights = np.ones((1, len(rows)))
    curve = calibration.reliability(claimed, cases.right[rows], calibration.bin_equally(claimed), weights)
    low, high = np.transpose([proportions.wilson(*bin) for bin in zip(curve.true[0], curve.weight[0], strict=True)])
    words = {"raw": "as the patches say", "scaled": f"at the temperature {score['temperature']:.2f}"}
    return figures.Calibrated(f"{words[name]}: ECE {_text(score['ece'])}", curve.claimed[0], curve.true[0], low, high)


def _band(name: str, scores: Mapping[float, Mapping[str, Any]]) -> figures.Band:
    """A curve of scores by what is chosen; those that have no interval are left out."""
    there = {x: score for x, score in scores.items() if score["interval"] is not None}
    values, intervals = [s["value"] for s in there.values()], np.array([s["interval"] for s in there.values()])
    return figures.Band(name, list(there), values, *intervals.reshape(-1, 2).T)


def _text(score: Mapping[str, Any]) -> str:
    if score["interval"] is None:
        return "not known"
    low, high = score["interval"]
    return f"{score['value']:.2f} ({low:.2f} to {high:.2f})"
