"""Evidence and cases poured into the templates; whatever comes from a run or a file name is escaped on the way."""

import base64
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from cxrjax.evaluation import saliency_verdict, tables
from cxrjax.metrics import classification, subgroups
from cxrjax.report import description
from cxrjax.report.cases import CaseView
from cxrjax.report.inputs import ReportInputs
from cxrjax.runtime.formatting import format_ci

TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
# What Markdown would read as its own; an entity is read as the character and as nothing else.
_MARKS = {ord(mark): f"&#{ord(mark)};" for mark in "&<>|`*[]\\"} | {ord("\n"): " ", ord("\r"): " "}


def render(template: str, evidence: ReportInputs, cases: Sequence[CaseView]) -> bytes:
    """A template filled.

    Args:
        template: a file of `templates/`; in one of Markdown, text is escaped as Markdown wants it.
        evidence: of the run and split.
        cases: worst first.

    Returns:
        UTF-8; a file name that is not valid UTF-8 has its odd bytes written as escapes.
    """
    markdown = template.endswith(".md")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cxrjax.report", "templates"),
        autoescape=True,
        finalize=_escape_markdown if markdown else None,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "score": format_ci,
        "digest": csp_hash,
        "leaves": leaves,
        "decimal": format_decimal,
        "sentence": capitalize,
    }
    environment.globals |= {"embed": data_uri, "FEW": subgroups.FEW, "value": value, "interval": interval}
    environment.globals["CHECKS"] = saliency_verdict.CHECKS
    environment.globals["cases_of"] = tables.describe_counts(evidence.scores)
    environment.globals["verbatim"] = partial(_read_source, environment)
    finds = evidence.config.task == "classify"
    text = environment.get_template(template).render(
        evidence._asdict(),
        evidence=evidence,
        cases=cases,
        finds=finds,
        headline=headline(evidence) if finds else [],
        confusion=confusion(evidence) if finds else [],
        gated="gate" in evidence.rows[0] and evidence.gate is not None,
        intervals=any(interval(part) for _, part in leaves(evidence.scores["all"])),
        method=description.describe_method(evidence.config),
        settings=dict(leaves(json.loads(evidence.config.to_json()))),
    )
    return text.encode("utf-8", "backslashreplace")


def value(number: Any) -> float | None:
    """A score without its interval: of {"value", "interval"}, or of a plain number."""
    return number["value"] if isinstance(number, Mapping) else number


def interval(number: Any) -> Sequence[float] | None:
    """The 95% interval of a score, where it has one."""
    return number.get("interval") if isinstance(number, Mapping) else None


def format_decimal(number: float, digits: int = 2) -> str:
    """A number of a row, – where it is NaN."""
    return "–" if math.isnan(number) else f"{number:.{digits}f}"


def capitalize(text: str) -> str:
    """A text with its first letter large."""
    return text[:1].upper() + text[1:]


def headline(evidence: ReportInputs) -> list[tuple[str, Any, Any, Any]]:
    """The main scores: (name, of the network, of the source alone, of chance)."""
    network, source, chance = evidence.scores["all"], evidence.scores["source_alone"], evidence.chance
    ranked = source["macro"]["auroc"]
    if value(ranked) is None and evidence.audit:  # scored by an older version, or what training holds is not known
        by_source = [control for control in evidence.audit["controls"] if control["name"] == "source"]
        ranked = by_source[0]["scores"].get("macro_auroc") if by_source else ranked
    return [
        ("macro AUROC", network["macro"]["auroc"], ranked, chance["macro_auroc"]),
        ("macro F1", network["macro"]["f1"], source["macro"]["f1"], chance["macro_f1"]),
        ("accuracy", network["accuracy"], source["accuracy"], chance["accuracy"]),
    ]


def confusion(evidence: ReportInputs) -> list[list[int]]:
    """Truth by finding, the last column no finding."""
    labels, findings = ([row[key] for row in evidence.rows] for key in ("label", "finding"))
    return classification.confusion_matrix(labels, findings, evidence.config.classifier.classes).tolist()


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every number, text or list of a tree by its dotted name; a number with its interval is one leaf."""
    for key, part in tree.items():
        if isinstance(part, Mapping) and "value" not in part:
            yield from leaves(part, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", part


def data_uri(path: Path) -> str:
    """A picture's file as a data URI; "" where there is none."""
    if not path.exists():
        return ""
    return f"data:{TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def csp_hash(text: str) -> str:
    """What a Content-Security-Policy calls a script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _read_source(environment: jinja2.Environment, name: str) -> Markup:
    """A style sheet or script of the package, as it is."""
    return Markup(environment.loader.get_source(environment, name)[0])


def _escape_markdown(part: Any) -> Any:
    return part if isinstance(part, Markup) else Markup(str(part).translate(_MARKS))
