"""Section "decision" of an export: the thresholds by which probabilities become predictions, and how to apply them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cxrjax.config import Config
from cxrjax.inference import finding_thresholds
from cxrjax.inference.functional import PipelineSpec
from cxrjax.runs import calibration

_STORED = ("split", "target", "min_confidence")  # keys of calibration.json
_STEPS = (
    "every threshold applies to the probabilities before the temperature; a temperature changes no prediction",
    "a prediction is decided if its probability is at least min_confidence x (1 - 1e-5), else undecided; where "
    "min_confidence is null, every prediction is undecided; where it is left out, none was chosen",
)
_STEPS_FOR_FINDINGS = (
    _STEPS[0],
    "a finding is predicted if its probability, in float32, is at least its threshold; where that is null, for "
    "majority if more than half of the patches voted for it, or exactly half with a probability above 0.5, and for "
    "mean_probability if its probability is above 0.5",
)


def describe(config: Config, spec: PipelineSpec, stored_calibration: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the section "decision" of a classifier, as a JSON-serializable dictionary.

    Args:
        config: config of the run.
        spec: its specification.
        stored_calibration: `calibration.load` of its network; None without one.

    Returns:
        {"split", "target", "min_confidence", "operating_points", "warning", "steps"}, see `cxrjax.runs.calibration`;
        what was not chosen or does not apply is left out. For several findings there are also "thresholds", {finding:
        probability from which on it is predicted, None where none was chosen}, and "note", on where they come from.
    """
    stored = stored_calibration or {}
    section: dict[str, Any] = {key: stored[key] for key in _STORED if key in stored}
    points = stored.get("operating_points", {})
    if points:
        section["operating_points"] = {
            name: {kind: threshold for kind, threshold in kinds.items() if kind != "decision"}
            for name, kinds in points.items()
        }
    warning = calibration.reliability_warning(stored) if stored else ""
    if warning:
        section["warning"] = warning
    if spec.inference.targets != "multi":
        return section | {"steps": _STEPS}
    thresholds = {name: points.get(name, {}).get("decision") for name in spec.classes}
    chosen = np.array([np.nan if threshold is None else threshold for threshold in thresholds.values()])
    note = finding_thresholds.describe(spec.classes, chosen, config)
    return section | {"thresholds": thresholds, "note": note, "steps": _STEPS_FOR_FINDINGS}
