"""Calibration of a run on its validation radiographs after training, in RUN/calibration.json.

{"version", "split", "step", "n", "temperature", "target", "min_confidence", "operating_points": {class:
{"at_specificity": t, "at_sensitivity": t}}}:

- "version" of the rules it was fitted by, and "step", the training step of the network it belongs to.
- "temperature" of `metrics.calibration`.
- "operating_points": for each class, the threshold of its probability, before temperature scaling, at which specificity
  or sensitivity reaches the target on new radiographs on average (`metrics.roc.choose_threshold`). It is null where
  there are too few radiographs to guarantee that (at least nine positives or negatives for 0.9), or where no threshold
  reaches the target; a class without positives or negatives is left out. A radiograph without probabilities is never
  called positive. The intervals of sensitivity and specificity at a threshold treat it as fixed.
- "min_confidence": the lowest confidence, before temperature scaling, from which on the target's share of new
  predictions is expected to be correct (`metrics.selective.choose_threshold`). A prediction below it is undecided; it
  is null where no confidence suffices.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrjax.io import json_file, predictions_csv
from cxrjax.metrics import bootstrap, calibration, roc, selective
from cxrjax.metrics.prediction_arrays import PredictionArrays, collect, patients
from cxrjax.runs import provenance
from cxrjax.runtime import atomic_files
from cxrjax.runtime.errors import CxrjaxError

_REMEDY = "remove it, and --mode=evaluate fits it again"
VERSION = 2  # version 1, without the key: no targets of Platt, and thresholds by the observed rates
TARGET = 0.9  # specificity or sensitivity at an operating point, and accuracy above `min_confidence`; our choice


class CalibrationError(CxrjaxError, ValueError):
    """Radiographs that do not allow a calibration; the message has their file and the reason."""


def path(workdir: Path) -> Path:
    """Return the path of a run's calibration.json."""
    return workdir / "calibration.json"


def matches_step(workdir: Path, step: int | None) -> bool:
    """Return whether a run has a calibration of the network of the given training step."""
    return path(workdir).exists() and _read(workdir).get("step") == step


def load(workdir: Path, step: int | None) -> dict[str, Any] | None:
    """Return the calibration written by `fit`; None where there is none.

    Args:
        workdir: the run directory.
        step: training step of the network that the calibration is applied to.

    Raises:
        ValueError: the calibration is that of another network, or damaged.
    """
    if not path(workdir).exists():
        return None
    if not matches_step(workdir, step):
        raise ValueError(
            f"{path(workdir)}: was fitted to the network of training step {_read(workdir).get('step', 'unknown')}, "
            f"not to that of {'unknown' if step is None else step}; --mode=evaluate fits it again"
        )
    return _read(workdir)


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
    cases = collect(table)
    patient_ids = np.array(patients(table))
    rows = cases.with_prediction
    if not len(rows):
        raise CalibrationError(f"{file}: nothing was found in any radiograph, so there is nothing to calibrate by")
    result = {
        "version": VERSION,
        "split": split,
        "step": provenance.read(file.parent).step,
        "n": len(cases.truth),
        "temperature": calibration.fit_temperature(cases.probabilities[rows], cases.truth[rows]),
        "target": TARGET,
        "min_confidence": _min_confidence(cases, patient_ids),
        "operating_points": _operating_points(cases, patient_ids),
    }
    atomic_files.atomic_write(path(workdir), (json.dumps(result, indent=2) + "\n").encode())


def reliability_warning(content: Mapping[str, Any]) -> str:
    """Return a sentence that says why the temperature and thresholds of `load` are unreliable; "" if they are not."""
    split = content.get("split", "validation")
    if calibration.is_at_bound(content["temperature"]):
        return (
            f"the temperature {content['temperature']:.2f} is at the end of the range that is searched: {split} does "
            "not determine it, and probabilities at this temperature are not reliable"
        )
    if content.get("version") != VERSION:
        return (
            "another version of cxrjax fitted the temperature and the thresholds, by rules that may be "
            f"overconfident; --mode=evaluate --split={split} fits them again"
        )
    return ""


def _read(workdir: Path) -> dict[str, Any]:
    file = path(workdir)
    content = json_file.read(file, _REMEDY)
    temperature = content.get("temperature")
    if not isinstance(temperature, int | float) or not 0 < temperature < np.inf:
        raise json_file.DamagedFileError(file, "it has no temperature above 0", _REMEDY)
    if not isinstance(content.get("operating_points"), dict):
        raise json_file.DamagedFileError(file, "it has no operating points", _REMEDY)
    return content


def load_min_confidence(workdir: Path, step: int | None) -> float | None:
    """Return the confidence below which a prediction of a run is undecided; infinity where none suffices.

    Args:
        workdir: the run directory.
        step: training step of the network that the confidence is applied to.

    Returns:
        The confidence; None where none was chosen for this network.
    """
    if not matches_step(workdir, step):
        return None
    content = _read(workdir)
    if "min_confidence" not in content:  # written by an older version
        return None
    return np.inf if content["min_confidence"] is None else content["min_confidence"]


def _min_confidence(cases: PredictionArrays, patient_ids: NDArray[np.str_]) -> float | None:
    rows = cases.with_prediction
    confidence = cases.probabilities[rows, cases.predicted[rows]]
    counts = selective.by_certainty(cases.correct[rows], confidence, np.ones((1, len(rows))))
    threshold = selective.choose_threshold(counts, TARGET, more=bootstrap.design_effect(patient_ids[rows]))
    return threshold if np.isfinite(threshold) else None


def _operating_points(cases: PredictionArrays, patient_ids: NDArray[np.str_]) -> dict[str, dict[str, float | None]]:
    points = {}
    for k, name in enumerate(cases.classes):
        positive = cases.truth == k
        if positive.any() and not positive.all():
            scores = np.nan_to_num(cases.probabilities[:, k], nan=-np.inf)
            counts = roc.roc_counts(positive, scores, np.ones((1, len(positive))))
            negative_effect = bootstrap.design_effect(patient_ids[~positive])
            positive_effect = bootstrap.design_effect(patient_ids[positive])
            thresholds = {
                "at_specificity": roc.choose_threshold(counts, specificity=TARGET, more=negative_effect),
                "at_sensitivity": roc.choose_threshold(counts, sensitivity=TARGET, more=positive_effect),
            }
            points[name] = {kind: t if np.isfinite(t) else None for kind, t in thresholds.items()}
    return points
