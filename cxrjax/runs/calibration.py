"""What a run learns from its validation radiographs after training, kept in RUN/calibration.json.

{"version", "split", "step", "n", "temperature", "target", "min_confidence", "operating_points": {class:
{"at_specificity": t, "at_sensitivity": t}}}: the version of the rules that it was fitted by, the training step of the
network that it is of, the temperature of `statistics.calibration`, and for each class the threshold of its probability,
before any temperature, at which specificity or sensitivity reaches the target on new radiographs in the mean
(`statistics.ranking.choose_threshold`). It is null where there are too few radiographs to promise that (nine positives
or negatives at least for 0.9), or none reaches it; a class without positives or negatives is left out. A radiograph
without probabilities is never called positive. Intervals of what a threshold does take it as given.
`min_confidence` is the lowest confidence of a finding, before any temperature, from which on as many new findings as
the target says can be expected to be right (`selective.choose_threshold`). Below it a finding is undecided; it is null
where no confidence suffices.
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

_REMEDY = "remove it, and --mode=evaluate fits it again"
VERSION = 2  # 1, which files do not name: no targets of Platt, and thresholds by the rates that were observed
TARGET = 0.9  # specificity or sensitivity wanted of an operating point, and accuracy of what is decided; ours


class CalibrationError(ValueError):
    """Radiographs that there is nothing to calibrate by; the message names them and says why."""


def path(workdir: Path) -> Path:
    """Where a run keeps it."""
    return workdir / "calibration.json"


def matches_step(workdir: Path, step: int | None) -> bool:
    """Whether a run has it, and of the network of a training step."""
    return path(workdir).exists() and _read(workdir).get("step") == step


def load(workdir: Path, step: int | None) -> dict[str, Any] | None:
    """What `fit` wrote; None where it has not been.

    Args:
        workdir: the run directory.
        step: of training, of the network that it is to be applied to.

    Raises:
        ValueError: it is of another network, or damaged.
    """
    if not path(workdir).exists():
        return None
    if not matches_step(workdir, step):
        raise ValueError(
            f"{path(workdir)}: was fitted to the network of training step {_read(workdir).get('step', 'unknown')}, "
            f"not to that of {'unknown' if step is None else step}; --mode=evaluate fits it anew"
        )
    return _read(workdir)


def fit(workdir: Path, split: str) -> None:
    """Fit temperature and thresholds to RUN/evaluation/SPLIT/predictions.csv.

    Args:
        workdir: the run directory, of a classifier.
        split: of validation: radiographs that are neither trained nor tested on.

    Raises:
        Uninformative: nothing was found in any of its radiographs.
    """
    file = workdir / "evaluation" / split / "predictions.csv"
    table = predictions_csv.read(file)
    findings = collect(table)
    people = np.array(patients(table))
    rows = findings.claimed
    if not len(rows):
        raise CalibrationError(f"{file}: nothing was found in any radiograph, so there is nothing to calibrate by")
    result = {
        "version": VERSION,
        "split": split,
        "step": provenance.read(file.parent).step,
        "n": len(findings.truth),
        "temperature": calibration.fit_temperature(findings.probabilities[rows], findings.truth[rows]),
        "target": TARGET,
        "min_confidence": _min_confidence(findings, people),
        "operating_points": _operating_points(findings, people),
    }
    atomic_files.atomic_write(path(workdir), (json.dumps(result, indent=2) + "\n").encode())


def reliability_warning(known: Mapping[str, Any]) -> str:
    """Return why probabilities at a temperature of `load` are not to be relied on, in a sentence; "" if they are."""
    split = known.get("split", "validation")
    if calibration.is_at_bound(known["temperature"]):
        return (
            f"the temperature {known['temperature']:.2f} is at the end of what is sought: {split} does not tell how "
            "sure the network is, and probabilities at this temperature are not to be relied on"
        )
    if known.get("version") != VERSION:
        return (
            "another version of cxrjax fitted the temperature and the thresholds, by rules that may make them too "
            f"sure; --mode=evaluate --split={split} fits them again"
        )
    return ""


def _read(workdir: Path) -> dict[str, Any]:
    file = path(workdir)
    known = json_file.read(file, _REMEDY)
    temperature = known.get("temperature")
    if not isinstance(temperature, int | float) or not 0 < temperature < np.inf:
        raise json_file.DamagedFile(file, "it has no temperature above 0", _REMEDY)
    if not isinstance(known.get("operating_points"), dict):
        raise json_file.DamagedFile(file, "it has no operating points", _REMEDY)
    return known


def load_min_confidence(workdir: Path, step: int | None) -> float | None:
    """Return the confidence below which a finding of a run is undecided: infinity where none suffices.

    Args:
        workdir: the run directory.
        step: of training, of the network that it is to be applied to.

    Returns:
        The confidence; None where none was chosen for this network.
    """
    if not matches_step(workdir, step):
        return None
    known = _read(workdir)
    if "min_confidence" not in known:  # of an older version
        return None
    return np.inf if known["min_confidence"] is None else known["min_confidence"]


def _min_confidence(findings: PredictionArrays, patients: NDArray[np.str_]) -> float | None:
    rows = findings.claimed
    confidence = findings.probabilities[rows, findings.found[rows]]
    kept = selective.by_certainty(findings.right[rows], confidence, np.ones((1, len(rows))))
    threshold = selective.choose_threshold(kept, TARGET, more=bootstrap.design_effect(patients[rows]))
    return threshold if np.isfinite(threshold) else None


def _operating_points(findings: PredictionArrays, patients: NDArray[np.str_]) -> dict[str, dict[str, float | None]]:
    points = {}
    for k, name in enumerate(findings.classes):
        positive = findings.truth == k
        if positive.any() and not positive.all():
            claims = np.nan_to_num(findings.probabilities[:, k], nan=-np.inf)
            order = roc.roc_counts(positive, claims, np.ones((1, len(positive))))
            more = [bootstrap.design_effect(patients[of]) for of in (~positive, positive)]
            thresholds = {
                "at_specificity": roc.choose_threshold(order, specificity=TARGET, more=more[0]),
                "at_sensitivity": roc.choose_threshold(order, sensitivity=TARGET, more=more[1]),
            }
            points[name] = {kind: t if np.isfinite(t) else None for kind, t in thresholds.items()}
    return points
