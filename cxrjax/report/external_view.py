"""Variables of the section on an external evaluation, and its first screen."""

from typing import Any

from cxrjax.evaluation import external_tables, external_verdict
from cxrjax.evaluation.external_measure import MIN_CASES
from cxrjax.report.first_screen import AUROC_NOTE, Bar, Overview
from cxrjax.report.inputs import ReportInputs

_SENSITIVITY_NOTE = "share that is recognized of each class, averaged over the classes (mean sensitivity)"
_ORDER = (external_verdict.FALLS, external_verdict.HOLDS, external_verdict.UNCLEAR)
_MAX_BARS = 4  # collections on the first screen


def list_variables(inputs: ReportInputs) -> dict[str, Any]:
    """Return the variables of `external.html` beside those of the page; {} without an external evaluation."""
    external = inputs.external
    if external is None:
        return {}
    parts = [("all pooled", external["pooled"], external["difference"])]
    if len(external["collections"]) > 1:
        parts += [(name, group, group["difference"]) for name, group in external["collections"].items()]
    return {
        "external_classes": external_tables.format_classes,
        "external_listed": external_tables.listed_classes,
        "external_margin": external_verdict.MARGIN,
        "external_min_cases": MIN_CASES,
        "external_parts": parts,
        "external_temperature": external_tables.describe_temperature(external),
        "external_flagged": external_tables.describe_flagged(external) if external["detector"] else "",
    }


def summarize(inputs: ReportInputs) -> Overview:
    """Return the first screen of an external evaluation, whose bars are the numbers of its sentence."""
    external = inputs.external
    assert external is not None
    is_several = len(external["collections"]) > 1
    is_flattered = is_several and (
        not external["within"] or external_verdict.pooled_share(external["within"]) is not None
    )
    bars = _list_areas(external) if is_flattered else _list_sensitivities(external)
    unit = AUROC_NOTE if is_flattered else _SENSITIVITY_NOTE
    return Overview(external["sentence"], inputs.forecast, tuple(bars), unit, needs_audit=False)


def _list_areas(external: dict[str, Any]) -> list[Bar]:
    """Return the AUROC pooled, within a collection, and on the own split."""
    bars = [Bar("all pooled", "shortcut", external["pooled"]["auroc"])]
    if external["within"]:
        bars.append(Bar("within a collection, on average", "network", external["within"]["within"]))
    if external["own"]:
        bars.append(Bar(f"own {external['own_split']} split, the same classes", "structure", external["own"]["auroc"]))
    return [*bars, Bar("chance", "chance", 0.5)]


def _list_sensitivities(external: dict[str, Any]) -> list[Bar]:
    """Return the mean sensitivity in each collection, where the network falls first, and on the own split."""
    groups = sorted(external["collections"].items(), key=lambda item: _ORDER.index(item[1]["verdict"]))
    bars = [
        Bar(
            f"at {name}",
            "shortcut" if group["verdict"] == external_verdict.FALLS else "network",
            group["judged"].get("here") or group["sensitivity"],
        )
        for name, group in groups[:_MAX_BARS]
    ]
    if external["own"]:
        bars.append(Bar(f"own {external['own_split']} split", "structure", external["own"]["sensitivity"]))
    return [*bars, Bar("chance", "chance", 1 / len(external["pooled"]["classes"]))]
