"""Sections of the page, and the tables whose rows are chosen here and not in a template."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from cxrjax.report.inputs import ReportInputs

# Template of each section.
PAGES = {
    "about": "about.html",
    "external": "external.html",
    "scores": "scores.html",
    "audit": "audit.html",
    "classes": "classes.html",
    "certainty": "certainty.html",
    "subgroups": "subgroups.html",
    "saliency": "saliency.html",
    "morphometry": "morphometry.html",
    "cases": "cases.html",
    "ood": "ood.html",
    "made": "made.html",
    "missing": "missing.html",
}
_TITLES = {
    "external": "Collections",
    "scores": "Scores",
    "audit": "Audit",
    "classes": "Classes",
    "certainty": "Certainty",
    "subgroups": "Subgroups",
    "saliency": "Maps",
    "morphometry": "Hearts and lungs",
    "cases": "Cases",
    "ood": "Out of distribution",
    "about": "About",
    "made": "Methods",
    "missing": "Not computed yet",
}


# Of several findings.
_FINDING_PAGES = {
    "external": "external_findings.html",
    "classes": "findings.html",
    "certainty": "finding_certainty.html",
}
_FINDING_TITLES = {"classes": "Findings", "certainty": "Probabilities"}


class OperatingPoint(NamedTuple):
    """Threshold of a class, and its scores."""

    name: str  # of the class
    kinds: str  # how it was chosen; several ways may give one threshold
    scores: Mapping[str, Any]


def list_sections(inputs: ReportInputs, has_missing: bool) -> list[tuple[str, str]]:
    """Return (id, title) of the sections that have content, in their order."""
    absent = set()
    if not inputs.classes:
        absent |= {"audit", "classes", "certainty", "subgroups", "saliency", "morphometry", "ood"}
    if inputs.external is None:
        absent.add("external")
    if inputs.maps is None:
        absent.add("saliency")
    if inputs.morphometry is None:
        absent.add("morphometry")
    if not inputs.has_ood_results:
        absent.add("ood")
    if not has_missing:
        absent.add("missing")
    titles = _TITLES | (_FINDING_TITLES if inputs.is_multi_label else {})
    return [(name, title) for name, title in titles.items() if name not in absent]


def choose_pages(inputs: ReportInputs) -> dict[str, str]:
    """Return the template of each section."""
    if not inputs.classes:
        return PAGES | {"scores": "lungs.html"}
    return PAGES | (_FINDING_PAGES if inputs.is_multi_label else {})


def merge_operating_points(points: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[OperatingPoint]:
    """Return the operating points of metrics.json, those of one class with equal thresholds as one."""
    merged = []
    for name, kinds in points.items():
        by_threshold: dict[float | None, list[str]] = {}
        for kind, scores in kinds.items():
            by_threshold.setdefault(scores["threshold"], []).append(kind)
        for same_kinds in by_threshold.values():
            words = " and ".join(kind.replace("_", " ") for kind in same_kinds)
            merged.append(OperatingPoint(name, words, kinds[same_kinds[0]]))
    return merged
