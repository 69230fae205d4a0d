"""Audit of a run; an interrupted audit resumes with the first experiment that is not complete.

Writes RUN/audit/SPLIT/: experiments/NAME/ of each experiment, atomically, with predictions.csv and result.json; then,
from these alone, audit.json, audit.md, audit.png and audit.svg. config.json has the settings of the probe network,
lungs/ the predicted lung masks, fingerprint.json the fingerprint of the inputs: the folder of an audit of another
network or of other data is renamed.
"""

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from cxrjax import plotting
from cxrjax.audit import finding_metrics, fingerprint, formatting, markers, metrics, progress, verdict
from cxrjax.audit.context import AuditContext, NotApplicableError
from cxrjax.audit.experiments import EXPERIMENTS, Experiment, ExperimentResult
from cxrjax.config import Config
from cxrjax.io import findings, json_file, predictions_csv
from cxrjax.metrics import baselines, finding_arrays, multilabel, prediction_arrays
from cxrjax.runs import run_dir
from cxrjax.runtime import atomic_files, compilation_cache, former_names, software, terminal
from cxrjax.runtime.formatting import format_count, lacks_patient_ids


def audit(workdir: Path, split: str, config: Config) -> dict[str, Any]:
    """Audit a trained classifier on a split of its data.

    Args:
        workdir: the run directory; the split is evaluated first if it was not.
        split: "test", or another split of the data set.
        config: config of the probe network, `cxrjax/audit/config.py`.

    Returns:
        The content of audit.json.

    Raises:
        RunError: there is no trained classifier, it was trained on the split, it was evaluated on other radiographs, or
            its audit was started with other settings.
        DatasetError: the data set is missing or does not fit the run.
        DivergedError: the loss of a probe network is not finite.
    """
    context = AuditContext(workdir, split, config)
    folder = context.folder
    _ = context.rows  # read first, since it fails for the rows of other radiographs
    renamed = fingerprint.claim_dir(folder, fingerprint.compute(workdir, context.records))
    if renamed:
        terminal.print_line(
            f"audit: {folder} was of another network, of other data or of older code; it is kept as {renamed}"
        )
    run_dir.create_or_resume(folder, config, run_dir.NEUTRAL)
    with _compilation_cache():
        for experiment in progress.iterate(progress.read(folder, EXPERIMENTS)):
            _run_experiment(experiment, context, former_names.find(folder, "experiments"))
    result = conclude(context, folder)
    atomic_files.atomic_write(folder / "audit.json", _to_json(result))
    atomic_files.atomic_write(folder / "audit.md", (summarize(result) + "\n").encode())
    shares = {
        entry["name"]: formatting.format_share(entry["share"], is_short=True)
        for entry in result["experiments"]
        if entry["share"]
    }
    for extension in ("png", "svg"):
        plotting.draw_audit(result, metrics.HEADLINE, shares, folder / f"audit.{extension}")
    return result


def _to_json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()


def conclude(context: AuditContext, folder: Path) -> dict[str, Any]:
    """Return the content of audit.json, from the rows of the run and of the experiments in a folder."""
    rows = context.rows
    chance = _chance_level(context)
    results = {
        experiment.name: (
            _read_result(former_names.find(folder, "experiments", experiment.name))
            if experiment.saved
            else _run_or_skip(experiment, context)
        )
        for experiment in EXPERIMENTS
    }
    run_scores = metrics.compare(rows, None, rows, context.classes, chance)
    content = {
        "split": context.split,
        **({"targets": "multi"} if context.is_multi_label else {}),
        "n": len(rows),
        **prediction_arrays.count_patients(rows),
        "scores": run_scores["scores"],
        "classes": run_scores["classes"],
        "chance": chance,
        "shared_patients": len(context.shared_patients),
        "labels": _count_labels(context),
        "selected_on_split": context.selected_on_split,
        "sources": _count_sources(context),
        "experiments": [_describe(experiment, results, context, chance) for experiment in EXPERIMENTS],
    }
    settings = {"probe_network": json.loads(context.probe_config.to_json()), "headline": metrics.HEADLINE}
    return content | {"verdict": verdict.conclude(content), "settings": settings, "versions": software.versions()}


def summarize(result: dict[str, Any]) -> str:
    """Return the verdict and a table of the scores, as Markdown."""

    def cells(scores: dict[str, Any]) -> str:
        return " | ".join(formatting.format_ci(scores[name]) if scores else "–" for name in metrics.METRICS)

    lines = [result["verdict"]["paragraph"], ""]
    if result["verdict"]["cannot_support"]:
        lines += ["This data set cannot support:", ""]
        lines += [f"- {claim}" for claim in result["verdict"]["cannot_support"]] + [""]
    for title, kind in (("What can be tried here:", "possible"), ("What cannot be done here:", "impossible")):
        if remedies := result["verdict"]["remedies"][kind]:
            lines += [title, "", *(f"- {sentence}" for sentence in remedies), ""]
    lines += [
        f"| {format_count(result['n'], 'radiograph')} | by | macro F1 | accuracy | macro AUROC | share of the score |",
        "|---|---|---|---|---|---|",
        f"| **the run** | network | {cells(result['scores'])} | |",
        "| chance | | " + " | ".join(f"{result['chance'][name]:.3f}" for name in metrics.METRICS) + " | |",
    ]
    for entry in result["experiments"]:
        share = formatting.format_share(entry["share"]) if entry["share"] else ""
        lines.append(f"| {entry['title']} | {entry['model']} | {cells(entry['scores'])} | {share} |")
    notes = [
        f"- {entry['title']} ({entry['model']}): {entry['note']}" for entry in result["experiments"] if entry["note"]
    ]
    unit = "radiograph, for the patients are not known" if lacks_patient_ids(result) else "patient"
    lines += [
        "",
        *notes,
        "",
        f"Intervals are by {unit}, 95%. Those of the small network include the variation of its own training "
        "where a shortcut is trained several times, and not elsewhere.",
    ]
    return "\n".join(lines)


def _run_experiment(experiment: Experiment, context: AuditContext, folder: Path) -> None:
    """Run an experiment and write its folder atomically."""
    result = _run_or_skip(experiment, context)
    partial = folder / f".{experiment.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    columns = context.columns
    predictions_csv.write(partial / "predictions.csv", result.rows, columns)
    if result.rows_without_marker is not None:
        predictions_csv.write(partial / "without_marker.csv", result.rows_without_marker, columns)
    for number, rows in enumerate(result.repeat_rows, 2):
        predictions_csv.write(partial / f"training_{number}.csv", rows, columns)
    atomic_files.atomic_write(partial / "result.json", _to_json({"note": result.note, "details": result.details}))
    partial.rename(folder / experiment.name)


def _run_or_skip(experiment: Experiment, context: AuditContext) -> ExperimentResult:
    """Run an experiment; if it is not applicable, return a result without rows whose note is the reason."""
    try:
        return experiment.run(context)
    except NotApplicableError as reason:
        return ExperimentResult([], f"not done: {reason}")


def _read_result(folder: Path) -> ExperimentResult:
    path = former_names.find(folder, "result.json")
    remedy = f"remove {folder}, and --mode=audit makes it again"
    content = json_file.read(path, remedy)
    if not isinstance(content.get("note"), str) or not isinstance(content.get("details"), dict | None):
        raise json_file.DamagedFileError(path, "it has no note and details", remedy)
    without_marker = former_names.find(folder, "without_marker.csv")
    return ExperimentResult(
        rows=predictions_csv.read(folder / "predictions.csv"),
        note=content["note"],
        details=content["details"],
        rows_without_marker=predictions_csv.read(without_marker) if without_marker.exists() else None,
        repeat_rows=tuple(predictions_csv.read(table) for table in sorted(folder.glob("training_*.csv"))),
    )


def _describe(
    experiment: Experiment, results: dict[str, ExperimentResult], context: AuditContext, chance: dict[str, float]
) -> dict[str, Any]:
    """Return the entry of an experiment in audit.json."""
    result = results[experiment.name]
    entry = {
        "name": experiment.name,
        "title": experiment.title,
        "question": experiment.question,
        "category": experiment.category,
        "model": experiment.model,
    }
    entry |= {"n": len(result.rows), "scores": {}, "share": None, "classes": {}, "reference": None, "difference": None}
    entry |= result.details | {"note": result.note}
    if not result.rows:
        return entry
    reference = results.get(experiment.reference)
    scores = metrics.compare(
        result.rows,
        reference=(reference.rows or None) if reference else None,
        run=context.rows,
        classes=context.classes,
        chance=chance,
        metric_fn=experiment.metric_fn,
        repeats=result.repeat_rows,
    )
    if not experiment.reports_share:
        scores["share"] = None
    if result.rows_without_marker is not None:
        scores["flip_rate"] = markers.flip_rate(result.rows, result.rows_without_marker, result.details["target"])
    return entry | scores


def _chance_level(context: AuditContext) -> dict[str, float]:
    if context.is_multi_label:
        train, test = context.record_targets
        counts = finding_arrays.count_by_source(context.train_sources, train, context.classes)
        return finding_metrics.chance_level(multilabel.prevalences(counts, context.classes), test)
    return baselines.chance_level(context.train_labels, [row["label"] for row in context.rows], context.classes)


def _count_labels(context: AuditContext) -> dict[str, int]:
    """Return the number of radiographs of each label of the split; of several findings, of those that have each."""
    if context.is_multi_label:
        present = findings.is_present(context.record_targets[1]).sum(0)
        return {name: int(count) for name, count in zip(context.classes, present, strict=True)}
    return dict(sorted(Counter(row["label"] for row in context.rows).items()))


def _count_sources(context: AuditContext) -> dict[str, Any]:
    """Return the number of training radiographs of each label and source: label -> source -> count.

    Of several findings, {finding: {source: [number without it, number with it]}}.
    """
    sources = context.train_sources
    if context.is_multi_label:
        by_source = finding_arrays.count_by_source(sources, context.record_targets[0], context.classes)
        return {name: {source: counts[name] for source, counts in by_source.items()} for name in context.classes}
    labels = context.train_labels
    counts = sorted(Counter(zip(labels, sources, strict=True)).items())
    return {
        label: {source: count for (pair_label, source), count in counts if pair_label == label}
        for label in sorted(set(labels))
    }


@contextmanager
def _compilation_cache() -> Iterator[None]:
    """Cache compiled programs during an audit, since it trains the probe network a dozen times."""
    if jax.config.values["jax_compilation_cache_dir"]:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        compilation_cache.enable_compilation_cache(folder)
        try:
            yield
        finally:
            compilation_cache.enable_compilation_cache("")
