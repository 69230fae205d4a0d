"""Scores as Markdown tables, each number with its 95% interval."""

from collections.abc import Mapping
from typing import Any

from cxrjax.runs.calibration import TARGET
from cxrjax.runtime.formatting import describe_counts, format_ci, format_label, format_p

SCORES = {
    "f1": "F1", "precision": "precision", "recall": "recall", "specificity": "specificity", "auroc": "AUROC",
    "average_precision": "average precision",
}  # fmt: skip

INTERVAL_NOTE = "In parentheses: 95% intervals."

_OPERATING_POINTS = {"at_specificity": f"specificity {TARGET:.0%}", "at_sensitivity": f"sensitivity {TARGET:.0%}"}

_MEANS = {"macro_f1": "macro F1", "macro_auroc": "macro AUROC"}

_PROBABILITIES = {"raw": "", "scaled": " at the fitted temperature"}

ERRORS = {"ece": "ECE", "brier": "Brier score", "log_loss": "log loss"}  # of probabilities


def format_scores(scores: Mapping[str, Any]) -> str:
    """Format metrics.json as Markdown: the main scores, those of the subgroups, and the warnings.

    Args:
        scores: result of `scoring.score_run`.
    """
    if "structures" in scores["all"]:
        tables = _mask_tables(scores)
    else:
        tables = _finding_tables(scores) if scores.get("targets") == "multi" else _label_tables(scores)
    return "\n\n".join([*tables, INTERVAL_NOTE, *(f"warning: {warning}" for warning in scores["warnings"])])


def format_comparison(result: Mapping[str, Any]) -> str:
    """Format the comparison of two runs as Markdown: both scores, their difference, and p, raw and corrected.

    Args:
        result: result of `compare_runs.compare_runs`.
    """
    head = [describe_counts(result), *result["runs"].values(), "difference", "p", "p, corrected"]
    lines = [
        [
            name,
            *(format_ci(result[part][name]) for part in ("run", "baseline", "difference")),
            *(format_p(result[tests][name]) if name in result[tests] else "" for tests in ("p", "p_holm")),
        ]
        for name in result["difference"]
    ]
    return "\n\n".join([markdown_table(head, lines), *(f"warning: {warning}" for warning in result["warnings"])])


def _label_tables(scores: Mapping[str, Any]) -> list[str]:
    """Return the tables of a classifier: scores, gain over the source, operating points and subgroups."""
    tables = [_main_table(scores)]
    gains = scores["gain_over_source"]
    lines = [[_MEANS.get(name, name), format_ci(gains[name])] for name in gains if name != "n"]
    tables.append(markdown_table(["network less source alone", "difference"], lines))
    tables += _operating_point_tables(scores)
    for attribute, groups in scores["subgroups"].items():
        lines = [
            [
                name,
                str(group["n"]),
                format_ci(group["accuracy"]),
                format_ci(group["macro"]["f1"]),
                format_ci(group["macro"]["auroc"]),
            ]
            for name, group in groups.items()
        ]
        tables.append(markdown_table([attribute, "n", "accuracy", "macro F1", "macro AUROC"], lines))
    return tables


def _finding_tables(scores: Mapping[str, Any]) -> list[str]:
    """Return the tables of a classifier of several findings: scores, operating points, calibration and subgroups."""
    network = scores["all"]
    source = scores["source_baseline"]
    head = [describe_counts(scores), "known", "with it", "AUROC", "AUROC of source alone", "average precision", "F1"]

    def cells(of_finding: Mapping[str, Any], of_source: Mapping[str, Any] | None) -> list[str]:
        source_auroc = of_source["auroc"] if of_source else None
        return list(
            map(format_ci, (of_finding["auroc"], source_auroc, of_finding["average_precision"], of_finding["f1"]))
        )

    lines = [["macro", "", "", *cells(network["macro"], source and source["macro"])]]
    for name, of_finding in network["classes"].items():
        counts = [str(of_finding["n"]), str(of_finding["support"])]
        lines.append([format_label(name), *counts, *cells(of_finding, source and source["classes"][name])])
    if network["energy_in_lesions"]["value"] is not None:
        lines.append(["map energy in lesions", "", "", format_ci(network["energy_in_lesions"]), "", "", ""])
    tables = [markdown_table(head, lines)]
    tables += _operating_point_tables(scores)
    for kind, errors in scores["calibration"].items():
        lines = [
            [format_label(name), *(format_ci(of_finding[key]) for key in ERRORS)]
            for name, of_finding in [("macro", errors["macro"]), *errors["classes"].items()]
        ]
        tables.append(markdown_table([f"probabilities, {kind}", *ERRORS.values()], lines))
    for attribute, groups in scores["subgroups"].items():
        lines = [
            [
                format_label(name),
                str(group["n"]),
                *(format_ci(group["macro"][key]) for key in ("auroc", "average_precision")),
            ]
            for name, group in groups.items()
        ]
        tables.append(markdown_table([attribute, "n", "macro AUROC", "macro average precision"], lines))
    return tables


def _operating_point_tables(scores: Mapping[str, Any]) -> list[str]:
    points = [
        [format_label(name), _OPERATING_POINTS.get(kind, kind.replace("_", " ")), *_format_operating_point(point)]
        for name, kinds in scores["operating_points"].items()
        for kind, point in kinds.items()
    ]
    head = ["operating point", "chosen on validation for", "sensitivity", "specificity"]
    return [markdown_table(head, points)] if points else []


def _main_table(scores: Mapping[str, Any]) -> str:
    """Return the table of the network's scores beside those of the source alone."""
    network = scores["all"]
    source = scores["source_baseline"]
    lines = [["accuracy", format_ci(network["accuracy"]), format_ci(source["accuracy"])]]
    for key, title in SCORES.items():
        lines.append([f"macro {title}", format_ci(network["macro"][key]), format_ci(source["macro"][key])])
    for label, class_scores in network["classes"].items():
        source_scores = source["classes"][label]
        for key in ("f1", "auroc"):
            title = f"{SCORES[key]} {format_label(label)} (n = {class_scores['support']})"
            lines.append([title, format_ci(class_scores[key]), format_ci(source_scores[key])])
    for kind, errors in scores["calibration"].items():
        lines += [
            [f"{title}{_PROBABILITIES[kind]}", format_ci(errors[key]), ""]
            for key, title in ERRORS.items()
            if key in errors
        ]
    if network["energy_in_lesions"]["value"] is not None:
        lines.append(["map energy in lesions", format_ci(network["energy_in_lesions"]), ""])
    return markdown_table([describe_counts(scores), "network", "source alone"], lines)


def _mask_tables(scores: Mapping[str, Any]) -> list[str]:
    """Return the table of a segmenter: the overlap of each structure, overall and by subgroup."""
    groups = [("all", scores["all"])]
    groups += [group for subgroups in scores["subgroups"].values() for group in subgroups.items()]
    lines = [
        [group, name, str(structure["support"]), format_ci(structure["dice"]), format_ci(structure["jaccard"])]
        for group, group_scores in groups
        for name, structure in group_scores["structures"].items()
        if structure["support"]
    ]
    return [markdown_table([describe_counts(scores), "structure", "n", "Dice", "Jaccard"], lines)]


def markdown_table(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *lines))


def _format_operating_point(point: Mapping[str, Any]) -> list[str]:
    if point["threshold"] is None:
        return ["not reachable", "not reachable"]
    return [format_ci(point["sensitivity"]), format_ci(point["specificity"])]
