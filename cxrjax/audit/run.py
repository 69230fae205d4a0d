"""The audit of a run, gone on with where it was stopped: a control that is done is not done again.

Writes RUN/audit/SPLIT/: controls/NAME/, each whole, with predictions.csv and facts.json; then, from those alone,
audit.json, audit.md, audit.png and audit.svg. config.json has the small network's settings, lungs/ what was segmented,
made_of.json the fingerprint of it all: an audit of another network, or of other data, is set aside as it is.
"""

import json
import platform
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from cxrjax import plotting
from cxrjax.audit import fingerprint, formatting, markers, verdict
from cxrjax.audit import metrics as scores
from cxrjax.audit.context import AuditContext, NotApplicableError
from cxrjax.audit.experiments import EXPERIMENTS, Experiment, ExperimentResult
from cxrjax.evaluation import tables
from cxrjax.io import json_file, predictions_csv
from cxrjax.metrics import baselines, prediction_arrays
from cxrjax.runs import run_dir
from cxrjax.runtime import atomic_files, compilation_cache, terminal


def audit(workdir: Path, split: str, config: ConfigDict) -> dict[str, Any]:
    """Audit a trained classifier on a split of its data.

    Args:
        workdir: the run; the split is evaluated first where it was not.
        split: "test", or another that the data set has.
        config: of the probe network, `cxrjax/audit/config.py`.

    Returns:
        What audit.json says.

    Raises:
        UnfitRun: there is no trained classifier, it was trained on the split, it was evaluated on other radiographs, or
            its audit was begun with other settings.
        DatasetError, Diverged: see there.
    """
    material = AuditContext(workdir, split, config)
    folder = material.folder
    _ = material.rows  # first: they may be of other radiographs
    aside = fingerprint.claim_dir(folder, fingerprint.compute(workdir, material.records))
    if aside:
        terminal.say(f"audit: {folder} was of another network, of other data or of older code; it is kept as {aside}")
    run_dir.create_or_resume(folder, config)
    with _compiled_once():
        for control in EXPERIMENTS:
            if control.kept:
                _carry_out(control, material, folder / "controls")
    result = conclude(material, folder)
    atomic_files.atomic_write(folder / "audit.json", (json.dumps(result, indent=2, allow_nan=False) + "\n").encode())
    atomic_files.atomic_write(folder / "audit.md", (summarize(result) + "\n").encode())
    for form in ("png", "svg"):
        plotting.draw_audit(result, scores.HEADLINE, folder / f"audit.{form}")
    return result


def conclude(material: AuditContext, folder: Path) -> dict[str, Any]:
    """What audit.json says, from the rows of the run and of the controls in a folder."""
    rows, classes = material.rows, material.classes
    labels = [row["label"] for row in rows]
    chance = baselines.chance_level(material.train_sources_and_labels[1], labels, classes)
    outcomes = {
        control.name: _read(folder / "controls" / control.name) if control.kept else _try(control, material)
        for control in EXPERIMENTS
    }
    whole_run = scores.compare(rows, None, rows, classes, chance)
    result = {
        "split": material.split,
        "n": len(rows),
        **prediction_arrays.count_patients(rows),
        "score": whole_run["scores"],
        "chance": chance,
        "shared_patients": len(material.shared_patients),
        "labels": dict(sorted(Counter(labels).items())),
        "validation": material.selected_on_split,
        "sources": _count_sources(*material.train_sources_and_labels),
        "controls": [_describe(control, outcomes, material, chance) for control in EXPERIMENTS],
    }
    settings = {"small_network": json.loads(material.config.to_json()), "headline": scores.HEADLINE}
    versions = {name: version(name) for name in ("cxrjax", "jax", "numpy")} | {"python": platform.python_version()}
    return result | {"verdict": verdict.conclude(result), "settings": settings, "versions": versions}


def summarize(result: dict[str, Any]) -> str:
    """The verdict, and the scores as a table in Markdown."""

    def cells(of: dict[str, Any]) -> str:
        return " | ".join(formatting.format_ci(of[name]) if of else "–" for name in scores.METRICS)

    lines = [result["verdict"]["paragraph"], ""]
    if result["verdict"]["cannot_support"]:
        lines += ["This data set cannot support:", ""]
        lines += [f"- {claim}" for claim in result["verdict"]["cannot_support"]] + [""]
    lines += [
        f"| {result['n']} radiographs | by | macro F1 | accuracy | macro AUROC | share of the score |",
        "|---|---|---|---|---|---|",
        f"| **the run** | network | {cells(result['score'])} | |",
        "| chance | | " + " | ".join(f"{result['chance'][name]:.3f}" for name in scores.METRICS) + " | |",
    ]
    for one in result["controls"]:
        share = formatting.format_percent(one["share"]) if one["share"] else ""
        lines.append(f"| {one['title']} | {one['by']} | {cells(one['scores'])} | {share} |")
    lines += [""] + [f"- {one['title']} ({one['by']}): {one['note']}" for one in result["controls"] if one["note"]]
    unit = "radiograph, for the patients are not known" if tables.lacks_patient_ids(result) else "patient"
    lines += [
        "",
        f"Intervals are by {unit}, 95%. Those of the small network hold the variation of its own training where a "
        "shortcut is trained several times, and not elsewhere.",
    ]
    return "\n".join(lines)


def _carry_out(control: Experiment, material: AuditContext, folder: Path) -> None:
    """Do a control, and write its folder whole; nothing where that was done."""
    done = folder / control.name
    if done.exists():
        return
    terminal.say(f"audit: {control.title} ({control.by})")
    outcome = _try(control, material)
    begun = folder / f".{control.name}.partial"
    shutil.rmtree(begun, ignore_errors=True)
    begun.mkdir(parents=True)
    columns = predictions_csv.classification_columns(material.classes)
    predictions_csv.write(begun / "predictions.csv", outcome.rows, columns)
    if outcome.unmarked is not None:
        predictions_csv.write(begun / "unmarked.csv", outcome.unmarked, columns)
    for number, rows in enumerate(outcome.repeats, 2):
        predictions_csv.write(begun / f"training_{number}.csv", rows, columns)
    facts = {"note": outcome.note, "facts": outcome.facts}
    atomic_files.atomic_write(begun / "facts.json", (json.dumps(facts, indent=2, allow_nan=False) + "\n").encode())
    begun.rename(done)


def _try(control: Experiment, material: AuditContext) -> ExperimentResult:
    try:
        return control.run(material)
    except NotApplicableError as reason:
        return ExperimentResult([], f"not done: {reason}")


def _read(folder: Path) -> ExperimentResult:
    file = folder / "facts.json"
    remedy = f"remove {folder}, and --mode=audit makes it again"
    known = json_file.read(file, remedy)
    if not isinstance(known.get("note"), str) or not isinstance(known.get("facts"), dict | None):
        raise json_file.DamagedFile(file, "it has no note and facts", remedy)
    unmarked = folder / "unmarked.csv"
    rows = predictions_csv.read(folder / "predictions.csv")
    repeats = tuple(predictions_csv.read(file) for file in sorted(folder.glob("training_*.csv")))
    without = predictions_csv.read(unmarked) if unmarked.exists() else None
    return ExperimentResult(rows, known["note"], known["facts"], without, repeats)


def _describe(
    control: Experiment, outcomes: dict[str, ExperimentResult], material: AuditContext, chance: dict[str, float]
) -> dict[str, Any]:
    """An entry of audit.json."""
    outcome = outcomes[control.name]
    entry = {key: getattr(control, key) for key in ("name", "title", "question", "kind", "by")}
    entry |= {"n": len(outcome.rows), "scores": {}, "share": None, "classes": {}, "against": None, "change": None}
    entry |= outcome.facts | {"note": outcome.note}
    if not outcome.rows:
        return entry
    reference = outcomes.get(control.reference)
    against = reference.rows or None if reference else None
    known = scores.compare(
        outcome.rows, against, material.rows, material.classes, chance, control.measure, outcome.repeats
    )
    if not control.share:
        known["share"] = None
    if outcome.unmarked is not None:
        known["flips"] = markers.flip_rate(outcome.rows, outcome.unmarked, outcome.facts["target"])
    return entry | known


def _count_sources(sources: Sequence[str], labels: Sequence[str]) -> dict[str, dict[str, int]]:
    """How many radiographs of training each label has from each source."""
    counts = Counter(zip(labels, sources, strict=True))
    return {label: {s: n for (of, s), n in sorted(counts.items()) if of == label} for label in sorted(set(labels))}


@contextmanager
def _compiled_once() -> Iterator[None]:
    """The small network is trained a dozen times: its programs are kept, for as long as the audit lasts."""
    if jax.config.jax_compilation_cache_dir:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        compilation_cache.enable_compilation_cache(folder)
        try:
            yield
        finally:
            compilation_cache.enable_compilation_cache("")
