"""Format a data card as Markdown, warnings first."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from cxrjax.runtime.formatting import format_count
from data_prep import remarks
from data_prep.checks.confounding import Baseline

MAX_ROWS = 20  # pairs or reasons; the JSON file has all
# Characters with a meaning in Markdown or HTML, and the entities that show them as text.
_ENTITIES = {ord(mark): f"&#{ord(mark)};" for mark in "&<>`*[]\\"} | {ord("|"): "\\|"}


def describe_warnings(
    baselines: Sequence[Baseline], single_sources: Mapping[str, str], report: Mapping[str, Any]
) -> list[str]:
    """Return a sentence or two for each problem that makes a score look better than it is.

    Args:
        baselines: how well each attribute predicts the label.
        single_sources: label -> source for labels with a single source.
        report: of the preparation.
    """
    warnings = []
    for baseline in baselines:
        if baseline.is_confounded:
            warnings.append(
                f"The label is confounded with the {baseline.attribute}: the {baseline.attribute} alone predicts the "
                f"label of {baseline.accuracy:.0%} of the radiographs, the most frequent label is right for "
                f"{baseline.without:.0%}. Compare a score with {baseline.accuracy:.0%}."
            )
    if single_sources:
        labels = ", ".join(f"{label} ({source})" for label, source in single_sources.items())
        warnings.append(f"These labels come from a single source, so recognizing the source predicts them: {labels}.")
    totals = remarks.sum_patients(report)
    if totals["without"]:
        radiographs = format_count(totals["radiographs"], "radiograph")
        warnings.append(
            f"The patients of {totals['without']} of {radiographs} are not known: the radiographs of one patient may "
            "be in both training and test data."
        )
    if report["settings"]["duplicates"] != "drop":
        counts = Counter(
            attribute
            for pair in report["duplicates"]
            for attribute in ("label", "split")
            if attribute in pair["difference"]
        )
        harms = {"split": "test images were seen in training", "label": "one of the two is wrong"}
        for attribute, harm in harms.items():
            if counts[attribute]:
                subject = (
                    f"{counts[attribute]} pairs of near-duplicates have"
                    if counts[attribute] > 1
                    else "A pair of near-duplicates has"
                )
                warnings.append(f"{subject} different {attribute}s: {harm}.")
    return warnings


def to_markdown(card: Mapping[str, Any], sheet: str) -> str:
    """Return the card as Markdown.

    Args:
        card: content of `card.json`, see `describe.summarize`.
        sheet: file name of the contact sheet in the same folder.
    """
    splits = card["splits"]
    warnings = "\n".join(f"- **Warning.** {_escape(sentence)}" for sentence in card["warnings"])
    sources = list(card["counts"]["source"])
    parts = [
        f"# {_escape(card['name'])} {_escape(card['version'])}",
        _escape(card["about"]),
        f"{format_count(card['radiographs'], 'radiograph')}. The splits and the skipped files with their reasons are "
        "in `splits.csv` and `report.json` of the data set; the numbers below are in `card.json`.",
        warnings or "No warning.",
        f"![radiographs of every label and source]({sheet})",
        *_format_labels(card, splits, sources),
        *_section("Patients", _format_patients(card["patients"], splits)),
    ]
    titles = {"source": "Sources", "sex": "Sex", "age": "Age, years", "view": "Views"}
    titles |= {"mask": "Masks", "lesions": "Lesions", "license": "Licenses"}
    for name, title in titles.items():
        parts += _section(title, _format_counts(name, card["counts"][name], splits))
    parts += _section("Resolution, pixels", _format_resolution(card["resolution"]))
    parts += _section("Near-duplicates", _format_duplicates(card["duplicates"]))
    parts += _section("Skipped", _format_skipped(card["skipped"]))
    if card["citation"]:
        longest = max(map(len, re.findall("`+", card["citation"])), default=0)
        fence = "`" * max(3, longest + 1)
        parts += _section("Citation", f"{fence}bibtex\n{card['citation']}\n{fence}")
    return "\n\n".join(parts) + "\n"


def _format_labels(card: Mapping[str, Any], splits: Sequence[str], sources: Sequence[str]) -> list[str]:
    """Return the sections on labels, or on several findings per radiograph."""
    if "findings" not in card:
        return [
            *_section("Labels", _format_counts("label", card["counts"]["label"], splits)),
            *_section("Label and source", _format_counts("label", card["label_and_source"], sources)),
            *_section("Label predicted from metadata alone", _format_baselines(card["baselines"])),
        ]
    values = ("positive", "negative", "uncertain", "unknown")
    rows = [
        [name, split, *(counts[value] for value in values)]
        for split in splits
        for name, counts in card["findings"].get(split, {}).items()
    ]
    by_source = [
        [name, *(counts.get(source, 0) for source in sources)] for name, counts in card["label_and_source"].items()
    ]
    return [
        *_section("Findings", _format_table(["finding", "split", *values], rows)),
        *_section("Positive radiographs by source", _format_table(["finding", *sources], by_source)),
    ]


def _escape(text: Any) -> str:
    """Return a text on one line that Markdown and HTML show unchanged."""
    return " ".join(str(text).split()).translate(_ENTITIES)


def _section(title: str, text: str) -> list[str]:
    return [f"## {title}", text]


def _format_table(header: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table with text aligned left and numbers aligned right."""
    cells = [[_escape(cell) for cell in row] for row in [header, *rows]]
    columns = zip(*cells[1:], strict=True)
    rule = ["---:" if all(re.fullmatch(r"[\d.]+%?", cell) for cell in column) else "---" for column in columns]
    return "\n".join(f"| {' | '.join(row)} |" for row in [cells[0], rule, *cells[1:]])


def _format_counts(name: str, counts: Mapping[str, Mapping[str, int]], columns: Sequence[str]) -> str:
    if len(counts) == 1 and name != "label":
        return f"{_escape(next(iter(counts)))}: all radiographs."
    rows = [[value, *(row.get(column, 0) for column in columns), sum(row.values())] for value, row in counts.items()]
    totals = [sum(column) for column in zip(*(row[1:] for row in rows), strict=True)]
    return _format_table([name, *columns, "all"], [*rows, ["all", *totals]])


def _format_baselines(baselines: Sequence[Mapping[str, Any]]) -> str:
    if not baselines:
        return "Not available: labels in at least two splits are needed, one to learn from and one to test on."
    rows = [
        [
            baseline["attribute"],
            baseline["values"],
            baseline["tried"],
            f"{baseline['accuracy']:.1%}",
            f"{baseline['without']:.1%}",
            f"{baseline['uncertainty']:.2f}",
        ]
        for baseline in baselines
    ]
    header = ["attribute", "values", "tested on", "accuracy", "accuracy without it", "uncertainty coefficient"]
    return (
        _format_table(header, rows)
        + "\n\nAccuracy: the most frequent label of each value, learned from the training split and tested on the "
        "others (without a training split: learned from all other splits). Accuracy without it: always predicting the "
        "most frequent label. Uncertainty coefficient: the fraction of the label's entropy that the attribute "
        "explains, 0 to 1. Resolution is the long side to two digits and the aspect ratio to one decimal."
    )


def _format_patients(patients: Mapping[str, Mapping[str, int]], splits: Sequence[str]) -> str:
    rows = [[split, *patients[split].values()] for split in splits]
    table = _format_table(["split", "patients", "radiographs without a patient"], rows)
    without = sum(row[2] for row in rows)
    return table + (f"\n\nNothing keeps the patients of these {without} in one split." if without else "")


def _format_resolution(resolution: Mapping[str, Mapping[str, Mapping[str, int]]]) -> str:
    rows = [[name, side, *row.values()] for name, sides in resolution.items() for side, row in sides.items()]
    return _format_table(["source", "side", *resolution["all"]["width"]], rows)


def _format_duplicates(duplicates: Mapping[str, Any]) -> str:
    pairs = duplicates["pairs"]
    if duplicates["setting"] == "off":
        return "Not searched."
    if not pairs:
        return "None found."
    counts = Counter(pair["difference"] or "nothing" for pair in pairs)
    differences = ", ".join(f"{count} in {attribute}" for attribute, count in counts.most_common())
    action = "all but one of each set were skipped" if duplicates["setting"] == "drop" else "all were kept"
    columns = ("first", "second", "first_label", "second_label", "first_split", "second_split", "similarity")
    most_different = sorted(pairs, key=lambda pair: -len(pair["difference"]))[:MAX_ROWS]
    rows = [[pair[column] for column in columns] for pair in most_different]
    header = ["first", "second", "first label", "second label", "first split", "second split", "similarity"]
    table = _format_table(header, rows)
    summary = f"{format_count(len(pairs), 'pair')}; differences: {differences}; {action}."
    return f"{summary}\n\n{table}{_format_rest(len(pairs))}"


def _format_skipped(skipped: Sequence[Mapping[str, str]]) -> str:
    if not skipped:
        return "Nothing."
    counts = Counter(entry["reason"] for entry in skipped)
    examples: dict[str, str] = {}
    for entry in skipped:
        examples.setdefault(entry["reason"], entry["name"])
    rows = [[reason, count, examples[reason]] for reason, count in counts.most_common(MAX_ROWS)]
    return f"{_format_table(['reason', 'files', 'example'], rows)}{_format_rest(len(counts))}"


def _format_rest(count: int) -> str:
    return f"\n\nThe first {MAX_ROWS} of {count}." if count > MAX_ROWS else ""
