"""Rendering of a report from its templates; all text from a run or a file name is escaped."""

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import jinja2
from markupsafe import Markup, escape

from cxrjax import plotting
from cxrjax.audit import answers, criteria
from cxrjax.audit.formatting import format_share
from cxrjax.evaluation import decisions, saliency_verdict
from cxrjax.io import findings
from cxrjax.metrics import classification, subgroups
from cxrjax.report import contents, description, external_view, finding_table, missing, overview
from cxrjax.report.cases import CaseView
from cxrjax.report.inputs import ReportInputs
from cxrjax.runtime.formatting import (
    capitalize_first,
    describe_counts,
    format_ci,
    format_count,
    format_label,
    format_p,
    pick_form,
    shorten_middle,
)

TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
_JOINT = re.compile(r"(?<=\w)([_/.-])(?=[a-zA-Z_])")  # not in a number
_CELL = re.compile(r"<t[hd]\b")
# Characters with a meaning in Markdown, as entities, which stand for the character alone.
_MARKS = {ord(mark): f"&#{ord(mark)};" for mark in "&<>|`*[]\\"} | {ord("\n"): " ", ord("\r"): " "}


def render(template: str, inputs: ReportInputs, cases: Sequence[CaseView]) -> bytes:
    """Render a template.

    Args:
        template: name of a file in `templates/`; for a Markdown file, text is escaped as Markdown requires.
        inputs: files of the run on the split.
        cases: radiographs, worst first.

    Returns:
        UTF-8 text; the invalid bytes of a file name that is not valid UTF-8 are written as escapes.
    """
    environment = make_environment(is_markdown=template.endswith(".md"))
    environment.globals["cases_of"] = describe_counts(inputs.scores)
    lacking = missing.list_missing(inputs)
    text = environment.get_template(template).render(
        inputs._asdict(),
        inputs=inputs,
        cases=cases,
        is_classifier=bool(inputs.classes),
        **external_view.list_variables(inputs),
        headline=headline(inputs) if inputs.classes else [],
        is_multi_label=inputs.is_multi_label,
        confusion=confusion(inputs) if inputs.classes and not inputs.is_multi_label else [],
        finding_rows=finding_table.list_rows(inputs) if inputs.is_multi_label else [],
        finding_controls=finding_table.list_controls(inputs) if inputs.is_multi_label else [],
        overview=overview.summarize(inputs),
        stale_audit=overview.STALE_AUDIT if inputs.classes and inputs.is_audit_stale else "",
        answers=answers.list_answers(inputs.audit) if inputs.audit else [],
        missing=lacking,
        contents=contents.list_sections(inputs, bool(lacking)),
        pages=contents.choose_pages(inputs),
        operating_points=contents.merge_operating_points(inputs.scores.get("operating_points", {})),
        undecided=_describe_undecided(inputs) if inputs.classes else "",
        audit_chance=inputs.audit["chance"]["macro_auroc"] if inputs.audit else None,
        audit_command=missing.audit_command(inputs),
        report_command=missing.report_command(inputs),
        has_several_sources=overview.has_several_sources(inputs.rows),
        intervals=any(interval(leaf) for _, leaf in leaves(inputs.scores["all"])),
        method=description.describe_method(inputs.config),
        settings=dict(leaves(json.loads(inputs.config.to_json()))),
    )
    return text.encode("utf-8", "backslashreplace")


def _describe_undecided(inputs: ReportInputs) -> str:
    return decisions.describe_undecided(inputs.rows, inputs.calibration, inputs.min_confidence)


def make_environment(is_markdown: bool = False) -> jinja2.Environment:
    """Return the environment of the templates, which escapes every text, in Markdown as that requires."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cxrjax.report", "templates"),
        autoescape=True,
        finalize=_escape_markdown if is_markdown else None,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "score": format_ci,
        "p_value": format_p,
        "csp_hash": csp_hash,
        "leaves": leaves,
        "decimal": format_decimal,
        "capitalize_first": capitalize_first,
        "label": format_label,
        "share_text": format_share,
        "percent": format_percent,
        "short_path": shorten_path,
        "label_cells": label_cells,
        "breakable": breakable,
        "finding_names": name_findings,
        "truth": format_truth,
        "counts": describe_counts,
        "counted": format_count,
        "pick": pick_form,
    }
    environment.globals |= {"data_uri": data_uri, "FEW": subgroups.FEW, "value": value, "interval": interval}
    environment.globals["is_wide"] = criteria.is_wide
    environment.globals["follows_theme"] = follows_theme
    environment.globals["MAP_OPACITY"] = plotting.OPACITY
    environment.globals["SCALE_NOTE"] = plotting.SCALE_NOTE
    environment.globals["CHECKS"] = saliency_verdict.CHECKS
    environment.globals["verbatim"] = partial(_read_source, environment)
    return environment


def value(number: Any) -> float | None:
    """Return the value of a score {"value", "interval"} or of a plain number."""
    return number["value"] if isinstance(number, Mapping) else number


def interval(number: Any) -> Sequence[float] | None:
    """Return the 95% interval of a score; None where it has none."""
    return number.get("interval") if isinstance(number, Mapping) else None


def format_decimal(number: float, digits: int = 2) -> str:
    """Format a number of a row; – for NaN."""
    return "–" if math.isnan(number) else f"{number:.{digits}f}"


def format_percent(number: float) -> str:
    """Format a share of a row in percent; – for NaN."""
    return "–" if math.isnan(number) else f"{number:.0%}"


def shorten_path(path: str) -> str:
    """Return the name of a file without its folders and ending, and without the middle of a long name."""
    return shorten_middle(PurePath(path).stem)


def name_findings(label: str) -> str:
    """Return the findings of a label of several as readers write them, joined by commas."""
    return ", ".join(format_label(name) for name in label.split(findings.SEPARATOR))


def format_truth(target: float) -> str:
    """Return the truth of a finding in a word, or as a share for a soft label; – where it is not known."""
    if target == findings.UNCERTAIN:
        return "uncertain"
    words = {findings.POSITIVE: "yes", findings.NEGATIVE: "no"}
    return words.get(target, format_percent(target))


def headline(inputs: ReportInputs) -> list[tuple[str, Any, Any, Any]]:
    """Return the main scores: (name, score of the network, of the source alone, of chance)."""
    network = inputs.scores["all"]
    source = inputs.scores["source_baseline"]
    chance = inputs.chance
    if inputs.is_multi_label:
        source_macro = source["macro"] if source else {}
        return [
            (title, network["macro"][key], source_macro.get(key), chance[f"macro_{key}"])
            for key, title in finding_table.MACRO_SCORES.items()
        ]
    source_auroc = source["macro"]["auroc"]
    if value(source_auroc) is None and inputs.audit:  # scored by an older version, or without the labels of training
        experiments = [experiment for experiment in inputs.audit["experiments"] if experiment["name"] == "source"]
        source_auroc = experiments[0]["scores"].get("macro_auroc") if experiments else source_auroc
    return [
        ("macro AUROC", network["macro"]["auroc"], source_auroc, chance["macro_auroc"]),
        ("macro F1", network["macro"]["f1"], source["macro"]["f1"], chance["macro_f1"]),
        ("accuracy", network["accuracy"], source["accuracy"], chance["accuracy"]),
    ]


def confusion(inputs: ReportInputs) -> list[list[int]]:
    """Return the confusion matrix, one row per label and one column per prediction, the last for no prediction."""
    labels = [row["label"] for row in inputs.rows]
    predictions = [row["prediction"] for row in inputs.rows]
    return classification.confusion_matrix(labels, predictions, inputs.classes).tolist()


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and value of each leaf of a tree; a score with its interval is one leaf."""
    for key, child in tree.items():
        if isinstance(child, Mapping) and "value" not in child:
            yield from leaves(child, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", child


def data_uri(path: Path) -> str:
    """Return an image file as a data URI; "" where there is no file."""
    if not path.exists():
        return ""
    return f"data:{TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def follows_theme(path: Path) -> bool:
    """Return whether a figure has the colors of the page, light or dark; figures of older versions are white."""
    return path.suffix == ".svg" and b"prefers-color-scheme" in path.read_bytes()


def label_cells(rows: str, columns: Sequence[str]) -> Markup:
    """Add to each cell of a table the heading of its column, which a narrow page shows beside it.

    Args:
        rows: HTML of the rows, with one cell per column.
        columns: headings of the columns.
    """
    labeled = []
    for row in re.split(r"(?=<tr\b)", rows):
        headings = iter(columns)
        labeled.append(_CELL.sub(lambda cell, h=headings: f'{cell[0]} data-label="{_label(next(h, ""))}"', row))
    return Markup("".join(labeled))


def _label(heading: str) -> str:
    """Return a heading for an attribute, whose text can have no element, with spaces of no width for line breaks."""
    return _JOINT.sub("\\1\u200b", str(escape(heading)))


def breakable(text: Any) -> Markup:
    """Escape a text, and allow a line break after each underscore, slash, dot and hyphen inside of its words.

    A browser breaks a name such as that of a run or of a file nowhere, so that it makes a column as wide as itself.
    """
    return Markup(_JOINT.sub(r"\1<wbr>", str(escape(text))))


def csp_hash(text: str) -> str:
    """Return the hash by which a Content-Security-Policy allows a script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _read_source(environment: jinja2.Environment, name: str) -> Markup:
    """Return a style sheet or script of the package, unescaped."""
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])


def _escape_markdown(part: Any) -> Any:
    return part if isinstance(part, Markup) else Markup(str(part).translate(_MARKS))
