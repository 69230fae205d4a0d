"""What a run learns from its validation radiographs after training, kept in RUN/calibration.json.

{"split", "n", "temperature", "target", "operating_points": {class: {"at_specificity": t, "at_sensitivity": t}}}: the
temperature of `statistics.calibration`, and for each class the threshold of its probability, before any temperature, at
which specificity or sensitivity reaches the target. It is null where none does; a class that cannot have any, for want
of positives or negatives, is left out. A radiograph without probabilities is never called positive. Intervals of what a
threshold does take it as given.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from cxrjax import predictions, whole
from cxrjax.findings import Findings, collect
from cxrjax.statistics import calibration, ranking

TARGET = 0.9  # specificity or sensitivity wanted of an operating point; ours


def path(workdir: Path) -> Path:
    """Where a run keeps it."""
    return workdir / "calibration.json"


def load(workdir: Path) -> dict[str, Any] | None:
    """What `fit` wrote; None where it has not been."""
    return json.loads(path(workdir).read_text()) if path(workdir).exists() else None


def fit(workdir: Path, split: str) -> None:
    """Fit temperature and thresholds to RUN/evaluation/SPLIT/predictions.csv.

    Args:
        workdir: the run directory, of a classifier.
        split: of validation: radiographs that are neither trained nor tested on.

    Raises:
        ValueError: nothing was found in any of its radiographs.
    """
    file = workdir / "evaluation" / split / "predictions.csv"
    findings = collect(predictions.read(file))
    rows = findings.claimed
    if not len(rows):
        raise ValueError(f"{file}: nothing was found in any radiograph, so there is nothing to calibrate by")
    result = {
        "split": split,
        "n": len(findings.truth),
        "temperature": calibration.fit_temperature(findings.probabilities[rows], findings.truth[rows]),
        "target": TARGET,
        "operating_points": _choose(findings),
    }
    whole.write(path(workdir), (json.dumps(result, indent=2) + "\n").encode())


def _choose(findings: Findings) -> dict[str, dict[str, float | None]]:
    points = {}
    for k, name in enumerate(findings.classes):
        positive = findings.truth == k
        if positive.any() and not positive.all():
            claims = np.nan_to_num(findings.probabilities[:, k], nan=-np.inf)
            order = ranking.rank(positive, claims, np.ones((1, len(positive))))
            thresholds = {
                "at_specificity": ranking.choose_threshold(order, specificity=TARGET),
                "at_sensitivity": ranking.choose_threshold(order, sensitivity=TARGET),
            }
            points[name] = {kind: t if np.isfinite(t) else None for kind, t in thresholds.items()}
    return points
