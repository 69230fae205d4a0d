"""Forecast of an audit for radiographs from elsewhere, and its outcome in an external evaluation."""

from pathlib import Path
from typing import Any, NamedTuple

from cxrjax.audit import criteria, finding
from cxrjax.audit.criteria import Numbers
from cxrjax.audit.formatting import format_ci, format_share
from cxrjax.audit.metrics import HEADLINE, share_of_score
from cxrjax.evaluation.external_verdict import FALLS, HOLDS, UNCLEAR
from cxrjax.io import json_file
from cxrjax.runtime.formatting import join_words

CAME_TRUE = "came true"
IN_PART = "came true in part"
DID_NOT = "did not come true"


class Forecast(NamedTuple):
    """A forecast of an audit and its outcome."""

    sentence: str
    outcome: str  # CAME_TRUE, IN_PART, DID_NOT; "" where nothing was forecast or nothing can be said


def read_audit(workdir: Path, external: dict[str, Any]) -> dict[str, Any] | None:
    """Return the audit of the own split that an external evaluation is compared with; None where there is none.

    Raises:
        DamagedFileError: audit.json is damaged.
    """
    path = workdir / "audit" / external["own_split"] / "audit.json"
    return json_file.read(path, "remove it, and make it again") if path.exists() else None


def check(audit: Numbers, external: dict[str, Any]) -> Forecast:
    """Return what an audit forecast, and whether it came true.

    A shortcut that reaches part of the score forecasts a fall wherever it does not hold; an audit that found none
    forecasts that the network holds.

    Args:
        audit: the content of audit.json.
        external: result of `external.assess`.
    """
    found = finding.find(audit)
    shortcut = found.shortcut
    collections = external["collections"]
    names = {
        verdict: [name for name, scores in collections.items() if scores["verdict"] == verdict]
        for verdict in (FALLS, HOLDS, UNCLEAR)
    }
    if shortcut is None or shortcut["share"] is None:
        return Forecast("The audit made no forecast: no shortcut could be compared with the score.", "")
    is_expected = criteria.is_found(shortcut)
    if not is_expected and not _rules_out(audit):
        return Forecast("The audit made no forecast: it had too few radiographs to rule out a shortcut.", "")
    if is_expected:
        scores = (shortcut["scores"][HEADLINE]["value"], audit["scores"][HEADLINE]["value"])
        reached = finding.format_reached(finding.MEAN_SCORE, *scores)
        text = f"The audit forecast a fall: the {shortcut['title']} {reached}; this is "
        text += f"{format_share(shortcut['share'])} of the score above chance."
        true_names = names[FALLS]
        false_names = names[HOLDS]
    else:
        text = f"The audit found no shortcut that explains the score ({found.sentence.rstrip('.')}), which forecasts "
        text += "that the network holds."
        true_names = names[HOLDS]
        false_names = names[FALLS]
    outcome = _describe_outcome(true_names, false_names)
    text += f" {outcome[:1].upper()}{outcome[1:]}."
    if is_expected and external["within"]:
        rest = audit["chance"][HEADLINE] + (1 - min(shortcut["share"]["value"], 1.0)) * (
            audit["scores"][HEADLINE]["value"] - audit["chance"][HEADLINE]
        )
        text += f" Without what the shortcut reaches, the AUROC would be {rest:.2f}; within a collection it is "
        text += f"{format_ci(external['within']['within'])}."
    return Forecast(text, _name_outcome(true_names, false_names))


def _rules_out(audit: Numbers) -> bool:
    """Return whether the intervals of all shortcuts exclude that one explains the score."""
    shares = [entry["share"] for entry in audit["experiments"] if entry["category"] == "shortcut" and entry["share"]]
    return all(share_of_score(share)[1] <= criteria.MAX_UNEXPLAINED for share in shares)


def _name_outcome(true_names: list[str], false_names: list[str]) -> str:
    if not true_names and not false_names:
        return ""
    if not false_names:
        return CAME_TRUE
    return IN_PART if true_names else DID_NOT


def _describe_outcome(true_names: list[str], false_names: list[str]) -> str:
    """Return a clause on the collections where a forecast came true, and where it did not."""
    if not true_names and not false_names:
        return "too few radiographs say whether it came true"
    if not false_names:
        return f"it came true at {join_words(true_names)}"
    if not true_names:
        return f"it did not come true at {join_words(false_names)}"
    return f"it came true at {join_words(true_names)}, and not at {join_words(false_names)}"
