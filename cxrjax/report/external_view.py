"""Variables of the section on an external evaluation, and its first screen."""

from typing import Any

from cxrjax.evaluation import external_tables, external_verdict
from cxrjax.evaluation.external_measure import MIN_CASES
from cxrjax.report.first_screen import AUROC_NOTE, Bar, Overview
from cxrjax.report.inputs import ReportInputs


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
    """Return the first screen of an external evaluation: pooled, within a collection, and on the own split."""
    external = inputs.external
    assert external is not None
    is_several = len(external["collections"]) > 1
    is_flattered = is_several and (
        not external["within"] or external_verdict.pooled_share(external["within"]) is not None
    )
    pooled_name = "all pooled" if is_several else "here"
    bars = [Bar(pooled_name, "shortcut" if is_flattered else "network", external["pooled"]["auroc"])]
    if is_several and external["within"]:
        bars.append(Bar("within a collection, on average", "network", external["within"]["within"]))
    if external["own"]:
        bars.append(Bar(f"own {external['own_split']} split, the same classes", "structure", external["own"]["auroc"]))
    bars.append(Bar("chance", "chance", 0.5))
    return Overview(external["sentence"], inputs.forecast, tuple(bars), AUROC_NOTE, needs_audit=False)
