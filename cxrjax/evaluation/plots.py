"""Figures of the scores of a classifier, each as PNG and SVG."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrjax import plotting
from cxrjax.metrics import calibration, classification, intervals, roc
from cxrjax.metrics.prediction_arrays import PredictionArrays
from cxrjax.metrics.temperature import apply_temperature
from cxrjax.runtime.formatting import format_ci, format_count, format_label, interval_or_value

FORMS = (".png", ".svg")


def draw_plots(cases: PredictionArrays, scores: Mapping[str, Any], folder: Path) -> None:
    """Draw the figures of an evaluation, each as PNG and SVG.

    They are `confusion`, `roc`, `precision_recall`, `reliability`, `selective_prediction` and `vote_convergence`. A
    figure that the rows have no data for is not drawn, and an older file of its name is removed.

    Args:
        cases: predictions and labels of the radiographs.
        scores: result of `scoring.score_run`.
        folder: existing folder to write the files to.
    """
    matrix = classification.confusion_counts(cases.truth, cases.predicted, len(cases.classes))
    roc_curves = [_roc_curve(cases, scores, k) for k in _classes_with_both_outcomes(cases)]
    plots: dict[str, Callable[[Path], None] | None] = {
        "confusion": partial(plotting.draw_confusion, matrix, [format_label(name) for name in cases.classes]),
        "roc": partial(plotting.draw_roc_curves, roc_curves),
        "precision_recall": partial(plotting.draw_precision_recall, roc_curves),
        "reliability": None,
        "selective_prediction": None,
        "vote_convergence": None,
    }
    if scores["calibration"]:
        curves = [_reliability_curve(cases, kind, errors) for kind, errors in scores["calibration"].items()]
        plots["reliability"] = partial(plotting.draw_reliability, curves)
    if scores["selective_prediction"]:
        plots["selective_prediction"] = partial(
            plotting.draw_proportions,
            _risk_coverage_curves(scores["selective_prediction"]),
            f"Selective prediction of {format_count(len(cases.with_prediction), 'radiograph')}",
            ("share of radiographs referred (0 to 1), the least certain first", "accuracy of the others (0 to 1)"),
        )
    if scores["vote_convergence"]:
        plots["vote_convergence"] = partial(
            plotting.draw_proportions,
            _convergence_curves(scores["vote_convergence"]),
            f"Convergence of the vote in {format_count(len(cases.with_prediction), 'radiograph')}",
            ("number of patches", "share (0 to 1)"),
            logarithmic=True,
        )
    for name, plot in plots.items():
        for path in (folder / f"{name}{form}" for form in FORMS):
            plot(path) if plot else path.unlink(missing_ok=True)


def _classes_with_both_outcomes(cases: PredictionArrays) -> list[int]:
    """Return the classes that have both positives and negatives, as a ROC curve requires."""
    return [k for k in range(len(cases.classes)) if 0 < (cases.truth == k).sum() < len(cases.truth)]


def _roc_curve(cases: PredictionArrays, scores: Mapping[str, Any], k: int) -> plotting.RocCurve:
    name = cases.classes[k]
    points = scores["operating_points"].get(name, {}).values()
    return roc_curve(name, cases.truth == k, cases.probabilities[:, k], scores["all"]["classes"][name], points)


def roc_curve(
    name: str,
    positive: NDArray[np.bool_],
    probabilities: NDArray[np.float64],
    class_scores: Mapping[str, Any],
    points: Iterable[Mapping[str, Any]],
) -> plotting.RocCurve:
    """Return the ROC and precision-recall curve of a class.

    Args:
        name: of the class.
        positive: [n], whether each radiograph is of the class, True for some and False for others.
        probabilities: [n] of the class, NaN without a prediction.
        class_scores: of the class in metrics.json.
        points: its operating points in metrics.json.
    """
    counts = roc.roc_counts(positive, probabilities, np.ones((1, len(positive))))
    true_positives = counts.true_positives[0]
    false_positives = counts.false_positives[0]
    precision = true_positives[1:] / (true_positives + false_positives)[1:]
    return plotting.RocCurve(
        name=format_label(name),
        false_positive_rate=false_positives / false_positives[-1],
        sensitivity=true_positives / true_positives[-1],
        precision=np.append(precision[0], precision),
        prevalence=float(positive.mean()),
        num_radiographs=len(positive),
        num_positive=int(positive.sum()),
        areas=(format_ci(class_scores["auroc"], ".2f"), format_ci(class_scores["average_precision"], ".2f")),
        points=[
            (1 - point["specificity"]["value"], point["sensitivity"]["value"])
            for point in points
            if point["threshold"] is not None
        ],
    )


def _reliability_curve(cases: PredictionArrays, kind: str, score: Mapping[str, Any]) -> plotting.ReliabilityCurve:
    rows = cases.with_prediction
    probabilities = apply_temperature(cases.probabilities[rows], score["temperature"])
    confidence = probabilities[np.arange(len(rows)), cases.predicted[rows]]
    titles = {"raw": "uncalibrated", "scaled": f"at the temperature {score['temperature']:.2f}"}
    return reliability_curve(f"{titles[kind]}: ECE {format_ci(score['ece'], '.2f')}", confidence, cases.correct[rows])


def reliability_curve(
    title: str, confidence: NDArray[np.float64], correct: NDArray[np.bool_]
) -> plotting.ReliabilityCurve:
    """Return the bins of a reliability diagram, of n > 0 probabilities of events that are true or not."""
    bins = calibration.equal_count_bins(confidence)
    curve = calibration.reliability(confidence, correct, bins, np.ones((1, len(confidence))))
    bounds = [intervals.wilson(share, n) for share, n in zip(curve.accuracy[0], curve.weight[0], strict=True)]
    low, high = np.transpose(bounds)
    return plotting.ReliabilityCurve(title, curve.mean_confidence[0], curve.accuracy[0], low, high, len(confidence))


def _risk_coverage_curves(selective_prediction: Mapping[str, Mapping[str, Any]]) -> list[plotting.CurveWithCI]:
    """Return accuracy over the share referred, one curve per measure of certainty."""
    curves = []
    for certainty, score in selective_prediction.items():
        title = f"by {certainty.replace('_', ' ')}, area {format_ci(score['area'], '.2f')}"
        accuracy = {float(share): estimate for share, estimate in score["accuracy"].items()}
        curves.append(_curve_with_ci(title, accuracy))
    return curves


def _convergence_curves(convergence: Mapping[str, Mapping[str, Any]]) -> list[plotting.CurveWithCI]:
    """Return stability, vote fraction and accuracy over the number of patches."""
    titles = {
        "stability": "prediction is that of all patches",
        "vote_fraction": "share of votes for it",
        "accuracy": "prediction is correct",
    }
    return [
        _curve_with_ci(title, {int(size): scores[key] for size, scores in convergence.items()})
        for key, title in titles.items()
    ]


def _curve_with_ci(name: str, estimates: Mapping[float, Mapping[str, Any]]) -> plotting.CurveWithCI:
    """Return the curve of the scores that have a value, by x; without an interval, both bounds are the value."""
    defined = {x: estimate for x, estimate in estimates.items() if estimate["value"] is not None}
    values = [estimate["value"] for estimate in defined.values()]
    bounds = np.reshape([interval_or_value(estimate) for estimate in defined.values()], (-1, 2))
    return plotting.CurveWithCI(name, list(defined), values, bounds[:, 0], bounds[:, 1])
