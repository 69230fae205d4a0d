"""Figures of the scores of several findings per radiograph, each as PNG and SVG."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from cxrjax import plotting
from cxrjax.evaluation import plots
from cxrjax.metrics import temperature
from cxrjax.metrics.finding_arrays import FindingArrays
from cxrjax.runtime.formatting import format_ci, format_label


def draw_plots(arrays: FindingArrays, scores: Mapping[str, Any], folder: Path) -> None:
    """Draw the figures of an evaluation, each as PNG and SVG, with one panel per finding.

    They are `roc`, `precision_recall` and `reliability`. A figure that the rows have no data for is not drawn, and an
    older file of its name is removed.

    Args:
        arrays: truth and predictions.
        scores: result of `scoring.score_run`.
        folder: existing folder to write the files to.
    """
    roc_curves = _roc_curves(arrays, scores)
    reliability_curves = _reliability_curves(arrays, scores)
    figures: dict[str, Callable[[Path], None] | None] = {
        "roc": partial(plotting.draw_roc_panels, roc_curves) if roc_curves else None,
        "precision_recall": partial(plotting.draw_precision_panels, roc_curves) if roc_curves else None,
        "reliability": partial(plotting.draw_reliability_panels, reliability_curves) if reliability_curves else None,
    }
    for name, draw in figures.items():
        for path in (folder / f"{name}{form}" for form in plots.FORMS):
            draw(path) if draw else path.unlink(missing_ok=True)


def _roc_curves(arrays: FindingArrays, scores: Mapping[str, Any]) -> list[plotting.RocCurve]:
    """Return the curves of the findings that some radiographs have and others do not."""
    curves = []
    for k, name in enumerate(arrays.findings):
        rows = arrays.rows(k)
        positive = arrays.positive[rows, k]
        if positive.any() and not positive.all():
            points = scores["operating_points"].get(name, {}).values()
            class_scores = scores["all"]["classes"][name]
            curves.append(plots.roc_curve(name, positive, arrays.probabilities[rows, k], class_scores, points))
    return curves


def _reliability_curves(
    arrays: FindingArrays, scores: Mapping[str, Any]
) -> list[tuple[str, list[plotting.ReliabilityCurve]]]:
    """Return (finding, curves of its probabilities and of those at its temperature)."""
    panels = []
    for k, name in enumerate(arrays.findings):
        rows = arrays.rows_with_prediction(k)
        kinds = {kind: errors["classes"][name] for kind, errors in scores["calibration"].items() if len(rows)}
        curves = []
        for kind, errors in kinds.items():
            probabilities = temperature.apply_event_temperature(arrays.probabilities[rows, k], errors["temperature"])
            noun = "raw" if kind == "raw" else f"T = {errors['temperature']:.2f}"
            title = f"{noun}: ECE {format_ci({'value': errors['ece']['value']}, '.2f')}"
            curves.append(plots.reliability_curve(title, probabilities, arrays.positive[rows, k]))
        if curves:
            panels.append((format_label(name), curves))
    return panels
