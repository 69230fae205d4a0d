"""Results of an external evaluation as Markdown tables."""

from collections.abc import Mapping
from typing import Any

from cxrjax.evaluation import external_measure
from cxrjax.evaluation.tables import markdown_table
from cxrjax.runtime.formatting import MISSING, describe_counts, format_ci, format_count, format_label

SCORES = {"sensitivity": "sensitivity", "specificity": "specificity", "auroc": "AUROC"}


def format_external(result: Mapping[str, Any]) -> str:
    """Format an external evaluation: its sentence, collections, classes, thresholds and flagged radiographs.

    Args:
        result: result of `external.assess`.
    """
    tables = [result["sentence"], _collection_table(result)]
    if result["own"]:
        tables.append(_class_table(result))
    tables += [table for table in (threshold_table(result), describe_temperature(result)) if table]
    tables.append(describe_flagged(result))
    return "\n\n".join([*tables, *(f"warning: {warning}" for warning in result["warnings"])])


def describe_temperature(result: Mapping[str, Any]) -> str:
    """Return sentences on the temperature of validation, own and external; "" without one."""
    temperature = result["temperature"]
    if not temperature or "external" not in result["calibration"]:
        return ""
    text = f"Validation's temperature is {temperature['validation']:.2f}; fitted to these data it would "
    text += f"be {temperature['here']:.2f}. "
    errors = {name: format_ci(scores["ece"]) for name, scores in result["calibration"].items()}
    own = f", on the own {result['own_split']} split {errors['own']}" if "own" in errors else ""
    return f"{text}The calibration error at validation's is {errors['external']} here{own}."


def describe_flagged(result: Mapping[str, Any]) -> str:
    """Return sentences on the radiographs that the out-of-distribution detector flagged.

    Args:
        result: result of `external.assess` or of `external_findings.assess`.
    """
    if not result["detector"]:
        return "No out-of-distribution detector judged these radiographs."
    counts = result["detector"]["flagged"]
    overall = counts["all"]
    parts = [f"{name} {part['out_of_distribution']} of {part['n']}" for name, part in counts.items() if name != "all"]
    text = f"The out-of-distribution detector flagged {overall['out_of_distribution']} of "
    text += format_count(overall["n"], "radiograph")
    text += f" ({', '.join(parts)})." if len(parts) > 1 else "."
    if not overall["out_of_distribution"] or not result["own"]:
        return text
    without = result["detector"]["without"]
    if not without:
        return f"{text} Too few radiographs are left without them to say what the score would be."
    return f"{text} {_describe_unflagged(result, without)}"


def _describe_unflagged(result: Mapping[str, Any], without: Mapping[str, Any]) -> str:
    """Return a sentence on the score without the flagged radiographs, and on the share of the fall that they are."""
    share = result["detector"]["share"]["of_fall"]
    if "auroc" in without:
        fall = result["difference"]["auroc"]["value"]
        text = f"Without them, the mean AUROC is {without['auroc']['value']:.2f} "
        text += f"instead of {result['pooled']['auroc']['value']:.2f}"
    else:
        fall = result["difference"].get("sensitivity", {"value": None})["value"]
        text = f"Without them, {without['sensitivity']['value']:.0%} of each class are recognized on average "
        text += f"instead of {result['pooled']['sensitivity']['value']:.0%}"
    if fall is not None and fall < 0 and share["value"] is not None:
        text += f": they are {max(share['value'], 0):.0%} of the fall"
    return f"{text}."


def _collection_table(result: Mapping[str, Any]) -> str:
    """Return the table of the collections, each alone, the pooled scores, and the mean within a collection."""
    lines = [
        [
            name,
            format_classes(group),
            *(format_ci(group[score]) for score in ("sensitivity", "auroc")),
            group["verdict"],
        ]
        for name, group in result["collections"].items()
    ]
    pooled = result["pooled"]
    if len(result["collections"]) > 1:
        within = format_ci(result["within"]["within"]) if result["within"] else MISSING
        lines.append(["mean within a collection", "", "", within, ""])
        lines.append(
            ["all pooled", format_classes(pooled), format_ci(pooled["sensitivity"]), format_ci(pooled["auroc"]), ""]
        )
    if own := result["own"]:
        title = f"own {result['own_split']} split"
        lines.append([title, format_classes(own), format_ci(own["sensitivity"]), format_ci(own["auroc"]), ""])
    head = [describe_counts(result), "n", "mean sensitivity", "AUROC", "the network"]
    return markdown_table(head, lines)


def format_classes(group: Mapping[str, Any]) -> str:
    """Return the number of radiographs of each class of a group, as "90 normal, 12 COVID-19"."""
    return ", ".join(f"{scores['support']} {format_label(name)}" for name, scores in group["classes"].items())


def listed_classes(group: Mapping[str, Any]) -> list[str]:
    """Return the classes of a group that a table lists: of two, whose scores mirror each other, that of the finding."""
    names = list(group["classes"])
    if len(names) != 2:
        return names
    return [next((name for name in reversed(names) if name != "normal"), names[-1])]


def _class_table(result: Mapping[str, Any]) -> str:
    """Return the table of each class here and on the own split, with the difference, also in each collection."""
    own_classes = result["own"]["classes"]
    parts = {"all": (result["pooled"], result["difference"])}
    if len(result["collections"]) > 1:
        parts |= {name: (group, group["difference"]) for name, group in result["collections"].items()}
    lines = []
    for part, (group, difference) in parts.items():
        reference = result["own"] if part == "all" else group["own"]
        for name in listed_classes(group):
            scores = group["classes"][name]
            for score, title in SCORES.items():
                if name in own_classes and scores[score]["value"] is not None:
                    cells = (scores[score], reference["classes"][name][score], difference["classes"][name][score])
                    lines.append([part, format_label(name), title, *map(format_ci, cells)])
    head = ["collection", "class", "score", "here", f"own {result['own_split']} split", "difference"]
    return markdown_table(head, lines)


def threshold_table(result: Mapping[str, Any]) -> str:
    """Return the table of what validation's thresholds reach; "" without any.

    Args:
        result: result of `external.assess` or of `external_findings.assess`.
    """
    lines = []
    parts = external_measure.name_groups("", "", dict.fromkeys(result["collections"], ""))
    for name, kinds in result["operating_points"].items():
        for kind, groups in kinds.items():
            score = kind.removeprefix("at_")
            cells = [format_ci(groups[part][score]) if part in groups else MISSING for part in parts]
            lines.append([format_label(name), f"{score} of {result['target']:.0%}", *cells])
    if not lines:
        return ""
    head = ["threshold of", "chosen for", f"own {result['own_split']} split", "pooled", *result["collections"]]
    return markdown_table(head, lines)
