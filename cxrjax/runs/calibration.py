"""Calibration of a run on its validation radiographs after training, in RUN/calibration.json.

{"version", "split", "step", "n", "temperature", "target", "min_confidence", "operating_points": {class:
{"at_specificity": t, "at_sensitivity": t}}}:

- "version" of the rules it was fitted by, and "step", the training step of the network it belongs to.
- "temperature" of `metrics.temperature`; of a classifier of several findings, {finding: temperature}, without those
  that are present in all or in none of the radiographs.
- "operating_points": for each class, the threshold of its probability, before temperature scaling, at which specificity
  or sensitivity reaches the target on new radiographs on average (`metrics.roc.choose_threshold`). It is null where
  there are too few radiographs to guarantee that (at least nine positives or negatives for 0.9), or where no threshold
  reaches the target; a class without positives or negatives is left out. A radiograph without probabilities is never
  called positive. The intervals of sensitivity and specificity at a threshold treat it as fixed.
- Of a classifier of several findings, "operating_points" also have "decision", the threshold of the highest sum of
  sensitivity and specificity: from it on the finding is predicted. It is null with fewer than ten radiographs with or
  without the finding.
- "min_confidence": the lowest confidence, before temperature scaling, from which on the target's share of new
  predictions is expected to be correct (`metrics.selective.choose_threshold`). A prediction below it is undecided; it
  is null where no confidence suffices, and left out for several findings.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cxrjax.io import json_file
from cxrjax.metrics.temperature import is_at_bound
from cxrjax.runtime.formatting import join_words

_REMEDY = "remove it, and --mode=evaluate fits it again"
VERSION = 2  # version 1, without the key: no targets of Platt, and thresholds by the observed rates
TARGET = 0.9  # specificity or sensitivity at an operating point, and accuracy above `min_confidence`; our choice


def path(workdir: Path) -> Path:
    """Return the path of a run's calibration.json."""
    return workdir / "calibration.json"


def matches_step(workdir: Path, step: int | None) -> bool:
    """Return whether a run has a calibration of the network of the given training step."""
    return path(workdir).exists() and _read(workdir).get("step") == step


def load(workdir: Path, step: int | None) -> dict[str, Any] | None:
    """Return the calibration written by `evaluation.fit_calibration`; None where there is none.

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


def reliability_warning(content: Mapping[str, Any]) -> str:
    """Return a sentence that says why the temperature and thresholds of `load` are unreliable; "" if they are not."""
    split = content.get("split", "validation")
    at_bound = [
        f"the temperature {value:.2f}" + (f" of {name}" if name else "")
        for name, value in _by_finding(content["temperature"]).items()
        if is_at_bound(value)
    ]
    if at_bound:
        return (
            f"{join_words(at_bound)} {'is' if len(at_bound) == 1 else 'are'} at the end of the range that is searched: "
            f"{split} does not determine it, and probabilities at this temperature are not reliable"
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
    temperatures = _by_finding(content.get("temperature")).values()
    if not all(isinstance(value, int | float) and 0 < value < np.inf for value in temperatures):
        raise json_file.DamagedFileError(file, "it has no temperature above 0", _REMEDY)
    if not isinstance(content.get("operating_points"), dict):
        raise json_file.DamagedFileError(file, "it has no operating points", _REMEDY)
    return content


def _by_finding(temperature: Any) -> Mapping[str, Any]:
    """Return the temperatures of the findings; that of a classifier of one label as {"": temperature}."""
    return temperature if isinstance(temperature, Mapping) else {"": temperature}


def load_decision_thresholds(workdir: Path, step: int | None) -> dict[str, float]:
    """Return the probability, before temperature scaling, from which on each of several findings is predicted.

    Args:
        workdir: the run directory.
        step: training step of the network that the thresholds are applied to.

    Returns:
        {finding: threshold}, without the findings that have none; {} if none was chosen for this network.
    """
    if not matches_step(workdir, step):
        return {}
    thresholds = {name: kinds.get("decision") for name, kinds in _read(workdir)["operating_points"].items()}
    return {name: threshold for name, threshold in thresholds.items() if threshold is not None}


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
