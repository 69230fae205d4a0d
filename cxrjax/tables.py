"""Scores as tables in Markdown, for people: every number with its 95% interval."""

from collections.abc import Mapping
from typing import Any

SCORES = {
    "f1": "F1", "precision": "precision", "recall": "recall", "specificity": "specificity", "auroc": "AUROC",
    "average_precision": "average precision",
}  # fmt: skip


def summarise(scores: Mapping[str, Any]) -> str:
    """What `score.score` says, in short: the main scores, those of the subgroups, and the warnings."""
    parts = _masks(scores) if "structures" in scores["all"] else _findings(scores)
    return "\n\n".join([*parts, *(f"warning: {warning}" for warning in scores["warnings"])])


def compare(result: Mapping[str, Any]) -> str:
    """What `compare.compare` says: both runs, the first less the second, and p of the tests."""
    head = [f"{result['n']} radiographs of {result['patients']} patients", "first", "second", "first less second", "p"]
    lines = [
        [name, *(_text(result[part][name]) for part in ("first", "second", "difference")), _p(result["p"].get(name))]
        for name in result["difference"]
    ]
    return "\n\n".join([_table(head, lines), *(f"warning: {warning}" for warning in result["warnings"])])


def _findings(scores: Mapping[str, Any]) -> list[str]:
    network, alone = scores["all"], scores["source_alone"]
    lines = [["accuracy", _text(network["accuracy"]), _text(alone["accuracy"])]]
    lines += [
        [f"macro {name}", _text(network["macro"][key]), _text(alone["macro"][key])] for key, name in SCORES.items()
    ]
    for label, of_class in network["classes"].items():
        name = f"{label} ({of_class['support']})"
        lines.append([f"F1 {name}", _text(of_class["f1"]), _text(alone["classes"][label]["f1"])])
        lines.append([f"AUROC {name}", _text(of_class["auroc"]), ""])
    lines += [[f"ECE {kind}", _text(one["ece"]), ""] for kind, one in scores["calibration"].items()]
    if network["energy_in_lesions"]["value"] is not None:
        lines.append(["map energy in lesions", _text(network["energy_in_lesions"]), ""])
    parts = [_table([_head(scores), "network", "source alone"], lines)]
    over = scores["over_source"]
    lines = [[name.replace("_", " "), _text(over[name])] for name in ("accuracy", "macro_f1")]
    parts.append(_table(["network less source alone", "difference"], lines))
    points = [
        [name, kind.replace("_", " "), *(_text(point[rate]) for rate in ("sensitivity", "specificity"))]
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
                _text(group["accuracy"]),
                _text(group["macro"]["f1"]),
                _text(group["macro"]["auroc"]),
            ]
            for name, group in groups.items()
        ]
        parts.append(_table([attribute, "n", "accuracy", "macro F1", "macro AUROC"], lines))
    return parts


def _masks(scores: Mapping[str, Any]) -> list[str]:
    groups = [("all", scores["all"])]
    groups += [group for parts in scores["subgroups"].values() for group in parts.items()]
    lines = [
        [group, name, str(s["support"]), _text(s["dice"]), _text(s["jaccard"])]
        for group, part in groups
        for name, s in part["structures"].items()
        if s["support"]
    ]
    return [_table([_head(scores), "structure", "n", "Dice", "Jaccard"], lines)]


def _head(scores: Mapping[str, Any]) -> str:
    return f"{scores['n']} radiographs of {scores['patients']} patients"


def _table(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *lines))


def _text(score: Mapping[str, Any]) -> str:
    if score["value"] is None:
        return "–"
    if score["interval"] is None:
        return f"{score['value']:.3f}"
    low, high = score["interval"]
    return f"{score['value']:.3f} ({low:.3f} to {high:.3f})"


def _p(p: float | None) -> str:
    return "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"
