"""Variables of the section on an external evaluation, and its first screen."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cxrjax.evaluation import (
    external_finding_tables,
    external_findings,
    external_measure,
    external_tables,
    external_verdict,
)
from cxrjax.evaluation.external_measure import MIN_CASES
from cxrjax.report.first_screen import AUROC_NOTE, FINDING_NOTE, Bar, Overview
from cxrjax.report.inputs import ReportInputs

_SENSITIVITY_NOTE = "share that is recognized of each class, averaged over the classes (mean sensitivity)"
_ORDER = (external_verdict.FALLS, external_verdict.HOLDS, external_verdict.UNCLEAR, external_verdict.NOT_JUDGED)
_MAX_BARS = 4  # collections on the first screen


class ExternalFinding(NamedTuple):
    """Scores of one finding on another data set; None where there are none."""

    name: str
    scores: Mapping[str, Any]  # over all collections pooled
    own: Mapping[str, Any] | None
    difference: Mapping[str, Any] | None  # pooled less own
    within: Mapping[str, Any] | None  # mean AUROC within a collection
    parts: Sequence[tuple[str, Mapping[str, Any], Mapping[str, Any] | None]]  # collection, its scores, less own


def list_variables(inputs: ReportInputs) -> dict[str, Any]:
    """Return the variables of the section beside those of the page; {} without an external evaluation."""
    external = inputs.external
    if external is None:
        return {}
    shared = {
        "external_groups": list(external_measure.name_groups("", "", dict.fromkeys(external["collections"], ""))),
        "external_min_cases": MIN_CASES,
        "external_flagged": external_tables.describe_flagged(external),
    }
    if inputs.is_multi_label:
        return shared | {
            "external_margin": external_findings.MARGIN,
            "external_findings": list_findings(external),
            "external_calibration": external_finding_tables.describe_calibration(external),
        }
    parts = [("all pooled", external["pooled"], external["difference"])]
    if len(external["collections"]) > 1:
        parts += [(name, group, group["difference"]) for name, group in external["collections"].items()]
    return shared | {
        "external_classes": external_tables.format_classes,
        "external_listed": external_tables.listed_classes,
        "external_margin": external_verdict.MARGIN,
        "external_parts": parts,
        "external_temperature": external_tables.describe_temperature(external),
    }


def list_findings(external: Mapping[str, Any]) -> list[ExternalFinding]:
    """Return one row per finding of an external evaluation, the largest fall first, those without a difference last."""
    own_classes = external["own"]["classes"] if external["own"] else {}
    groups = {"all pooled": external["pooled"] | {"difference": external["difference"]}}
    if len(external["collections"]) > 1:
        groups |= external["collections"]
    within = external["within"]["classes"] if external["within"] else {}
    findings = [
        ExternalFinding(
            name=name,
            scores=scores,
            own=own_classes.get(name),
            difference=external["difference"]["classes"].get(name),
            within=within[name]["within"] if name in within else None,
            parts=[
                (part, group["classes"][name], group["difference"]["classes"].get(name))
                for part, group in groups.items()
                if name in group["classes"]
            ],
        )
        for name, scores in external["pooled"]["classes"].items()
    ]
    return sorted(findings, key=_change)


def _change(row: ExternalFinding) -> float:
    change = row.difference["auroc"]["value"] if row.difference else None
    return math.inf if change is None else change


def summarize(inputs: ReportInputs) -> Overview:
    """Return the first screen of an external evaluation, whose bars are the numbers of its sentence."""
    external = inputs.external
    assert external is not None
    is_several = len(external["collections"]) > 1
    is_flattered = is_several and (
        not external["within"] or external_verdict.pooled_share(external["within"]) is not None
    )
    bars = _list_areas(external) if is_flattered else _list_means(external)
    area_note = FINDING_NOTE if inputs.is_multi_label else AUROC_NOTE
    unit = area_note if is_flattered or inputs.is_multi_label else _SENSITIVITY_NOTE
    return Overview(external["sentence"], inputs.forecast, tuple(bars), unit, needs_audit=False)


def _list_areas(external: dict[str, Any]) -> list[Bar]:
    """Return the AUROC pooled, within a collection, and on the own split."""
    bars = [Bar("all pooled", "shortcut", external["pooled"]["auroc"])]
    if external["within"]:
        bars.append(Bar("within a collection, on average", "network", external["within"]["within"]))
    if external["own"]:
        same = "findings" if external_verdict.is_multi_label(external) else "classes"
        bars.append(Bar(f"own {external['own_split']} split, the same {same}", "structure", external["own"]["auroc"]))
    return [*bars, Bar("chance", "chance", 0.5)]


def _list_means(external: dict[str, Any]) -> list[Bar]:
    """Return the mean score in each collection, where the network falls first, and on the own split.

    It is the sensitivity, and of several findings the AUROC.
    """
    score = "auroc" if external_verdict.is_multi_label(external) else "sensitivity"
    groups = sorted(external["collections"].items(), key=lambda item: _ORDER.index(item[1]["verdict"]))
    bars = [
        Bar(
            f"at {name}",
            "shortcut" if group["verdict"] == external_verdict.FALLS else "network",
            group["judged"].get("here") or group[score],
        )
        for name, group in groups[:_MAX_BARS]
    ]
    if external["own"]:
        bars.append(Bar(f"own {external['own_split']} split", "structure", external["own"][score]))
    chance = 0.5 if score == "auroc" else 1 / len(external["pooled"]["classes"])
    return [*bars, Bar("chance", "chance", chance)]
