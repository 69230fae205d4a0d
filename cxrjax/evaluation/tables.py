"""Scores as tables in Markdown, for people: every number with its 95% interval."""

from collections.abc import Mapping
from typing import Any

SCORES = {
    "f1": "F1", "precision": "precision", "recall": "recall", "specificity": "specificity", "auroc": "AUROC",
    "average_precision": "average precision",
}  # fmt: skip

ERRORS = {"ece": "ECE", "brier": "Brier score", "log_loss": "log loss"}  # of probabilities


def format_estimate(score: Mapping[str, Any] | float | None, digits: int = 3) -> str:
    """A score as it is read.

    Args:
        score: {"value", "interval"}, or a plain number; None where there is none.
        digits: behind the point.

    Returns:
        "0.812 (0.761 to 0.858)"; "0.812" where it has no interval, "–" where it has no value.
    """
    known = score if isinstance(score, Mapping) else {"value": score}
    if known["value"] is None:
        return "–"
    numbers = [f"{number:.{digits}f}" for number in (known["value"], *(known.get("interval") or ()))]
    return "{} ({} to {})".format(*numbers) if len(numbers) > 1 else numbers[0]


def describe_cases(counts: Mapping[str, Any]) -> str:
    """Return how many radiographs of how many patients there are, and where patients are not known, that.

    Args:
        counts: "n", and "patients" and "without_patient" of `prediction_arrays.count_patients`; older files lack the latter.
    """
    n, without = counts["n"], counts.get("without_patient", 0)
    if not without:
        return f"{n} radiographs of {counts['patients']} patients"
    if without == n:
        return f"{n} radiographs, patients not known"
    return f"{n - without} radiographs of {counts['patients'] - without} patients, and {without}, patients not known"


def knows_no_patient(counts: Mapping[str, Any]) -> bool:
    """Return whether no radiograph names its patient; see `describe_cases`."""
    return counts.get("without_patient", 0) == counts["n"]


def summarize(scores: Mapping[str, Any]) -> str:
    """What `scoring.score` says, in short: the main scores, those of the subgroups, and the warnings."""
    parts = _masks(scores) if "structures" in scores["all"] else _findings(scores)
    return "\n\n".join([*parts, *(f"warning: {warning}" for warning in scores["warnings"])])


def compare(result: Mapping[str, Any]) -> str:
    """Return what `compare_runs.compare` says: both runs, their difference, and p, as it is and corrected."""
    head = [describe_cases(result), *result["runs"].values()]
    head += ["first less second", "p", "p, corrected"]
    lines = [
        [
            name,
            *(format_estimate(result[part][name]) for part in ("first", "second", "difference")),
            *(_say_p(result[tests], name) for tests in ("p", "p_holm")),
        ]
        for name in result["difference"]
    ]
    return "\n\n".join([_table(head, lines), *(f"warning: {warning}" for warning in result["warnings"])])


def _findings(scores: Mapping[str, Any]) -> list[str]:
    network, alone = scores["all"], scores["source_alone"]
    lines = [["accuracy", format_estimate(network["accuracy"]), format_estimate(alone["accuracy"])]]
    lines += [
        [f"macro {name}", format_estimate(network["macro"][key]), format_estimate(alone["macro"][key])]
        for key, name in SCORES.items()
    ]
    for label, of_class in network["classes"].items():
        name = f"{label} ({of_class['support']})"
        lines.append([f"F1 {name}", format_estimate(of_class["f1"]), format_estimate(alone["classes"][label]["f1"])])
        lines.append(
            [f"AUROC {name}", format_estimate(of_class["auroc"]), format_estimate(alone["classes"][label]["auroc"])]
        )
    for kind, one in scores["calibration"].items():
        lines += [[f"{title} {kind}", format_estimate(one[key]), ""] for key, title in ERRORS.items() if key in one]
    if network["energy_in_lesions"]["value"] is not None:
        lines.append(["map energy in lesions", format_estimate(network["energy_in_lesions"]), ""])
    parts = [_table([describe_cases(scores), "network", "source alone"], lines)]
    over = scores["over_source"]
    lines = [[name.replace("_", " "), format_estimate(over[name])] for name in over if name != "n"]
    parts.append(_table(["network less source alone", "difference"], lines))
    points = [
        [name, kind.replace("_", " "), *_say_point(point)]
        for name, kinds in scores["operating_points"].items()
        for kind, point in kinds.items()
    ]
    if points:
        parts.append(_table(["operating point", "chosen", "sensitivity", "specificity"], points))
    for attribute, groups in scores["subgroups"].items():
        lines = [
            [
                name,
                str(group["n"]),
                format_estimate(group["accuracy"]),
                format_estimate(group["macro"]["f1"]),
                format_estimate(group["macro"]["auroc"]),
            ]
            for name, group in groups.items()
        ]
        parts.append(_table([attribute, "n", "accuracy", "macro F1", "macro AUROC"], lines))
    return parts


def _masks(scores: Mapping[str, Any]) -> list[str]:
    groups = [("all", scores["all"])]
    groups += [group for parts in scores["subgroups"].values() for group in parts.items()]
    lines = [
        [group, name, str(s["support"]), format_estimate(s["dice"]), format_estimate(s["jaccard"])]
        for group, part in groups
        for name, s in part["structures"].items()
        if s["support"]
    ]
    return [_table([describe_cases(scores), "structure", "n", "Dice", "Jaccard"], lines)]


def _table(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *lines))


def _say_point(point: Mapping[str, Any]) -> list[str]:
    if point["threshold"] is None:
        return ["not reachable", "not reachable"]
    return [format_estimate(point["sensitivity"]), format_estimate(point["specificity"])]


def _say_p(tests: Mapping[str, float | None], name: str) -> str:
    """The p of a score: blank where it is not tested, a dash where the test cannot tell."""
    if name not in tests:
        return ""
    p = tests[name]
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"
