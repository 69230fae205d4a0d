"""Results of an external evaluation of several findings as Markdown tables and sentences."""

from collections.abc import Mapping
from typing import Any

from cxrjax.evaluation import external_tables
from cxrjax.evaluation.tables import markdown_table
from cxrjax.runtime.formatting import describe_counts, format_ci, format_count, format_label

NO_CALIBRATION = (
    "The run has no calibration, so there are no thresholds or temperatures of validation to compare with: "
    "--mode=evaluate of the own data makes one."
)


def format_findings(result: Mapping[str, Any]) -> str:
    """Format an external evaluation of several findings: its sentence, collections, findings, thresholds and flags.

    Args:
        result: result of `external_findings.assess`.
    """
    tables = [result["sentence"], _collection_table(result), _finding_table(result)]
    tables += [external_tables.threshold_table(result), describe_calibration(result)]
    tables.append(external_tables.describe_flagged(result))
    tables += [f"warning: {warning}" for warning in result["warnings"]]
    return "\n\n".join(table for table in tables if table)


def describe_calibration(result: Mapping[str, Any]) -> str:
    """Return sentences on the calibration error at validation's temperatures, and on those that would fit here.

    Args:
        result: result of `external_findings.assess`.
    """
    if result["target"] is None:
        return NO_CALIBRATION
    errors = {name: format_ci(scores["macro"]["ece"], ".2f") for name, scores in result["calibration"].items()}
    temperatures = result["temperature"].values()
    if "external" not in errors or not temperatures:
        return "No finding has enough radiographs for a calibration error or a temperature here."
    own = f", and {errors['own']} on the own {result['own_split']} split" if "own" in errors else ""
    higher = sum(found["here"] > found["validation"] for found in temperatures)
    lower = sum(found["here"] < found["validation"] for found in temperatures)
    return (
        f"At validation's temperatures, the calibration error of a finding is {errors['external']} here on average"
        f"{own}. Fitted to these data, the temperature would be higher for {higher} of "
        f"{format_count(len(temperatures), 'finding')} (the probabilities are too extreme here) and lower for {lower}."
    )


def _collection_table(result: Mapping[str, Any]) -> str:
    """Return the table of the collections, each alone, the pooled scores, and the mean within a collection."""
    groups = result["collections"]
    lines = [[name, str(group["n"]), format_ci(group["auroc"]), group["verdict"]] for name, group in groups.items()]
    if len(groups) > 1:
        within = result["within"].get("within") if result["within"] else None
        lines.append(["mean within a collection", "", format_ci(within), ""])
        lines.append(["all pooled", str(result["pooled"]["n"]), format_ci(result["pooled"]["auroc"]), ""])
    if own := result["own"]:
        lines.append([f"own {result['own_split']} split", str(own["n"]), format_ci(own["auroc"]), ""])
    return markdown_table([describe_counts(result), "n", "mean AUROC", "the network"], lines)


def _finding_table(result: Mapping[str, Any]) -> str:
    """Return the table of each finding in each collection, beside the own split."""
    own_classes = result["own"]["classes"] if result["own"] else {}
    lines = []
    for name, group in result["collections"].items():
        for finding, scores in group["classes"].items():
            own_area = own_classes.get(finding, {}).get("auroc")
            difference = group["difference"]["classes"].get(finding, {}).get("auroc")
            counts = f"{scores['support']} of {scores['n']}"
            rates = [format_ci(scores[score]) for score in ("sensitivity", "specificity")]
            areas = [format_ci(area) for area in (scores["auroc"], own_area, difference)]
            lines.append([name, format_label(finding), counts, *rates, *areas])
    head = ["collection", "finding", "present", "sensitivity", "specificity", "AUROC here"]
    return markdown_table([*head, f"own {result['own_split']} split", "difference"], lines)
