"""A data card in words: Markdown that a person can read, warnings first."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from data_prep.checks.confounding import Baseline

SHOWN = 20  # pairs and reasons; the rest is in the JSON beside it
# What Markdown or HTML would read as its own; an entity is read as the character and as nothing else.
_MARKS = {ord(mark): f"&#{ord(mark)};" for mark in "&<>`*[]\\"} | {ord("|"): "\\|"}


def describe_warnings(guesses: Sequence[Baseline], only: Mapping[str, str], report: Mapping[str, Any]) -> list[str]:
    """A sentence or two for each thing that makes a score look better than it is.

    Args:
        guesses: how well each attribute tells the label.
        only: label -> the only source it comes from.
        report: of the preparation.
    """
    warnings = []
    for guess in guesses:
        if guess.warns:
            warnings.append(
                f"Label and {guess.attribute} go together: who knows only the {guess.attribute} names the right label "
                f"for {guess.accuracy:.0%} of the radiographs, who knows nothing for {guess.without:.0%}. "
                f"A score has to be compared with {guess.accuracy:.0%}."
            )
    if only:
        told = ", ".join(f"{label} ({source})" for label, source in only.items())
        warnings.append(f"These labels come from one source only, so that telling the source tells them: {told}.")
    if report["settings"]["duplicates"] != "drop":
        counts = Counter(
            word for pair in report["duplicates"] for word in ("label", "split") if word in pair["difference"]
        )
        for word, harm in (("split", "what is tested was seen in training"), ("label", "one of the two is wrong")):
            if counts[word]:
                what = (
                    f"{counts[word]} pairs of near-duplicates have"
                    if counts[word] > 1
                    else "A pair of near-duplicates has"
                )
                warnings.append(f"{what} different {word}s: {harm}.")
    return warnings


def to_markdown(told: Mapping[str, Any], sheet: str) -> str:
    """The card.

    Args:
        told: of `describe.summarize`.
        sheet: file name of the contact sheet beside it.
    """
    splits = told["splits"]
    warnings = "\n".join(f"- **Warning.** {_plain(sentence)}" for sentence in told["warnings"])
    parts = [
        f"# {_plain(told['name'])} {_plain(told['version'])}",
        _plain(told["about"]),
        f"{told['radiographs']} radiographs. How they were split, what was left out and why: `report.json` and "
        "`splits.csv` of the data set; the figures below: `card.json`.",
        warnings or "No warning.",
        f"![radiographs of every label and source]({sheet})",
        *_section("Labels", _cross("label", told["counts"]["label"], splits)),
        *_section("Label and source", _cross("label", told["label_and_source"], list(told["counts"]["source"]))),
        *_section("What tells the label without a look at the picture", _guesses(told)),
        *_section("Patients", _patients(told["patients"], splits)),
    ]
    titles = {"source": "Sources", "sex": "Sex", "age": "Age, years", "view": "Views"}
    titles |= {"mask": "Masks", "lesions": "Lesions", "licence": "Licences"}
    for name, title in titles.items():
        parts += _section(title, _cross(name, told["counts"][name], splits))
    parts += _section("Resolution, pixels", _resolution(told["resolution"]))
    parts += _section("Near-duplicates", _duplicates(told["duplicates"]))
    parts += _section("Left out", _skipped(told["skipped"]))
    if told["citation"]:
        longest = max(map(len, re.findall("`+", told["citation"])), default=0)
        fence = "`" * max(3, longest + 1)
        parts += _section("Citation", f"{fence}bibtex\n{told['citation']}\n{fence}")
    return "\n\n".join(parts) + "\n"


def _plain(text: Any) -> str:
    """A text that Markdown and HTML show as it is, on one line."""
    return " ".join(str(text).split()).translate(_MARKS)


def _section(title: str, text: str) -> list[str]:
    return [f"## {title}", text]


def _table(head: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    """Words to the left, numbers to the right."""
    cells = [[_plain(cell) for cell in row] for row in [head, *rows]]
    columns = zip(*cells[1:], strict=True)
    rule = ["---:" if all(re.fullmatch(r"[\d.]+%?", cell) for cell in column) else "---" for column in columns]
    return "\n".join(f"| {' | '.join(row)} |" for row in [cells[0], rule, *cells[1:]])


def _cross(name: str, counts: Mapping[str, Mapping[str, int]], columns: Sequence[str]) -> str:
    if len(counts) == 1 and name != "label":
        return f"{_plain(next(iter(counts)))}: all of them."
    rows = [[value, *(row.get(column, 0) for column in columns), sum(row.values())] for value, row in counts.items()]
    sums = [sum(column) for column in zip(*(row[1:] for row in rows), strict=True)]
    return _table([name, *columns, "all"], [*rows, ["all", *sums]])


def _guesses(told: Mapping[str, Any]) -> str:
    if not told["guesses"]:
        return "Cannot be said: labels in at least two splits are needed, to learn from one and to try on another."
    rows = [
        [
            guess["attribute"],
            guess["values"],
            guess["tried"],
            f"{guess['accuracy']:.1%}",
            f"{guess['without']:.1%}",
            f"{guess['uncertainty']:.2f}",
        ]
        for guess in told["guesses"]
    ]
    return (
        _table(
            ["attribute", "values", "tried on", "right by it alone", "right without it", "uncertainty coefficient"],
            rows,
        )
        + "\n\nRight by it alone: each value's most frequent label, learned from the training split, guessed on the "
        "others (without a training split: each split by all others). Right without it: the most frequent label, "
        "always. Uncertainty coefficient: the share of the label's entropy that the attribute takes away, 0 to 1. "
        "Resolution is the long side to two digits and the aspect ratio to one decimal."
    )


def _patients(patients: Mapping[str, Mapping[str, int]], splits: Sequence[str]) -> str:
    rows = [[split, *patients[split].values()] for split in splits]
    table = _table(["split", "patients", "radiographs that name none"], rows)
    nameless = sum(row[2] for row in rows)
    return table + (f"\n\nNothing keeps the patients of these {nameless} in one split." if nameless else "")


def _resolution(resolution: Mapping[str, Mapping[str, Mapping[str, int]]]) -> str:
    rows = [[name, side, *row.values()] for name, sides in resolution.items() for side, row in sides.items()]
    return _table(["source", "side", *resolution["all"]["width"]], rows)


def _duplicates(duplicates: Mapping[str, Any]) -> str:
    pairs = duplicates["pairs"]
    if duplicates["setting"] == "off":
        return "They were not looked for."
    if not pairs:
        return "None was found."
    counts = Counter(pair["difference"] or "nothing" for pair in pairs)
    differ = ", ".join(f"{count} in {what}" for what, count in counts.most_common())
    done = "all but one of each set were left out" if duplicates["setting"] == "drop" else "they were kept"
    rows = [
        [pair["one"], pair["other"], pair["one_label"], pair["other_label"], pair["one_split"], pair["other_split"]]
        + [pair["likeness"]]
        for pair in sorted(pairs, key=lambda pair: -len(pair["difference"]))[:SHOWN]
    ]
    head = ["one", "other", "label", "other's", "split", "other's", "likeness"]
    return f"{len(pairs)} pairs; they differ: {differ}; {done}.\n\n{_table(head, rows)}{_rest(len(pairs))}"


def _skipped(skipped: Sequence[Mapping[str, str]]) -> str:
    if not skipped:
        return "Nothing."
    reasons = Counter(entry["reason"] for entry in skipped)
    first = {}
    for entry in skipped:
        first.setdefault(entry["reason"], entry["name"])
    rows = [[reason, count, first[reason]] for reason, count in reasons.most_common(SHOWN)]
    return f"{_table(['reason', 'files', 'such as'], rows)}{_rest(len(reasons))}"


def _rest(count: int) -> str:
    return f"\n\nThe first {SHOWN} of {count}." if count > SHOWN else ""
