"""Fit of a run's calibration to its validation radiographs; `cxrjax.runs.calibration` describes and reads the file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrjax.io import predictions_csv
from cxrjax.metrics import bootstrap, finding_arrays, multilabel, operating_points, selective, temperature
from cxrjax.metrics.prediction_arrays import PredictionArrays, collect, patients
from cxrjax.runs import calibration, provenance
from cxrjax.runtime import atomic_files
from cxrjax.runtime.errors import CxrjaxError


class CalibrationError(CxrjaxError, ValueError):
    """Radiographs that do not allow a calibration; the message has their file and the reason."""


def fit(workdir: Path, split: str) -> None:
    """Fit temperature and thresholds to RUN/evaluation/SPLIT/predictions.csv.

    Args:
        workdir: the run directory, of a classifier.
        split: the validation split, whose radiographs are used for neither training nor testing.

    Raises:
        CalibrationError: there is no radiograph with a prediction.
    """
    file = workdir / "evaluation" / split / "predictions.csv"
    table = predictions_csv.read(file)
    has_findings = bool(table) and predictions_csv.has_findings(table[0])
    fitted = (_fit_findings if has_findings else _fit_classes)(file, table)
    result = {
        "version": calibration.VERSION,
        "split": split,
        "step": provenance.read(file.parent).step,
        "n": len(table),
        **fitted,
    }
    atomic_files.atomic_write(calibration.path(workdir), (json.dumps(result, indent=2) + "\n").encode())


def _fit_classes(file: Path, table: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what is fitted for a classifier of one label per radiograph."""
    cases = collect(table)
    patient_ids = np.array(patients(table))
    rows = cases.with_prediction
    if not len(rows):
        raise CalibrationError(f"{file}: nothing was found in any radiograph, so there is nothing to calibrate by")
    return {
        "temperature": temperature.fit_temperature(cases.probabilities[rows], cases.truth[rows]),
        "target": calibration.TARGET,
        "min_confidence": _min_confidence(cases, patient_ids),
        "operating_points": _operating_points(cases, patient_ids),
    }


def _fit_findings(file: Path, table: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what is fitted for a classifier of several findings per radiograph."""
    arrays = finding_arrays.collect(table)
    temperatures = multilabel.fit_temperatures(arrays)
    if not temperatures:
        raise CalibrationError(
            f"{file}: no finding is present in one radiograph with a prediction and absent in another, so there is "
            "nothing to calibrate by"
        )
    return {
        "temperature": temperatures,
        "target": calibration.TARGET,
        "operating_points": multilabel.choose_operating_points(arrays, patients(table), calibration.TARGET),
    }


def _min_confidence(cases: PredictionArrays, patient_ids: NDArray[np.str_]) -> float | None:
    rows = cases.with_prediction
    confidence = cases.probabilities[rows, cases.predicted[rows]]
    counts = selective.by_certainty(cases.correct[rows], confidence, np.ones((1, len(rows))))
    threshold = selective.choose_threshold(counts, calibration.TARGET, more=bootstrap.design_effect(patient_ids[rows]))
    return threshold if np.isfinite(threshold) else None


def _operating_points(cases: PredictionArrays, patient_ids: NDArray[np.str_]) -> dict[str, dict[str, float | None]]:
    points = {}
    for k, name in enumerate(cases.classes):
        positive = cases.truth == k
        if positive.any() and not positive.all():
            points[name] = operating_points.choose_thresholds(
                positive, cases.probabilities[:, k], patient_ids, calibration.TARGET
            )
    return points
