"""Tables of a report by finding, of a run that predicts several findings per radiograph."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from cxrjax.report.inputs import ReportInputs

# Macro scores of the first table.
MACRO_SCORES = {"auroc": "macro AUROC", "average_precision": "macro average precision", "f1": "macro F1"}
# Categories of the controls that are shown by finding; the checks of the audit itself are about the network as a whole.
_CATEGORIES = ("shortcut", "content")


class FindingRow(NamedTuple):
    """Scores of one finding; None where they were not computed."""

    name: str
    scores: Mapping[str, Any]  # of the network
    source: Mapping[str, Any] | None  # AUROC of the source alone
    at_specificity: Mapping[str, Any] | None  # operating points of validation
    at_sensitivity: Mapping[str, Any] | None
    calibration: Mapping[str, Any] | None  # of the probabilities
    scaled: Mapping[str, Any] | None  # at the temperature


class FindingControl(NamedTuple):
    """A control of the audit, with its AUROC by finding."""

    title: str
    model: str
    by_finding: Mapping[str, Any]


def list_rows(inputs: ReportInputs) -> list[FindingRow]:
    """Return one row per finding, the highest AUROC first, those without one last."""
    scores = inputs.scores
    baseline = scores["source_baseline"]
    rows = [
        FindingRow(
            name=name,
            scores=of_finding,
            source=baseline["classes"][name]["auroc"] if baseline else None,
            at_specificity=scores["operating_points"].get(name, {}).get("at_specificity"),
            at_sensitivity=scores["operating_points"].get(name, {}).get("at_sensitivity"),
            calibration=scores["calibration"].get("raw", {}).get("classes", {}).get(name),
            scaled=scores["calibration"].get("scaled", {}).get("classes", {}).get(name),
        )
        for name, of_finding in scores["all"]["classes"].items()
    ]
    return sorted(rows, key=lambda row: -_value(row.scores["auroc"]))


def list_controls(inputs: ReportInputs) -> list[FindingControl]:
    """Return the controls of the audit that were scored by finding; [] without an audit."""
    if inputs.audit is None:
        return []
    return [
        FindingControl(
            control["title"], control["model"], {name: of["auroc"] for name, of in control["classes"].items()}
        )
        for control in inputs.audit["experiments"]
        if control["category"] in _CATEGORIES and control["classes"]
    ]


def _value(score: Mapping[str, Any]) -> float:
    return -1.0 if score["value"] is None else score["value"]
