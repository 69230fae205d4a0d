"""External validation: a classifier on collections that it was not trained on, each alone, beside its own split.

A score over several collections together may come from differences between them (Zech et al. 2018): where one has more
disease, whatever tells the collections apart tells the classes apart. Writes external.json, or external_findings.json
for a classifier of several findings, to the folder of the evaluation, RUN/evaluation/DATASET-SPLIT.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cxrjax.evaluation import external_findings, external_measure, external_verdict
from cxrjax.evaluation.external_measure import MIN_CASES, CombinedRows
from cxrjax.io import json_file, predictions_csv
from cxrjax.metrics import bootstrap, confidence, prediction_arrays
from cxrjax.metrics.temperature import fit_temperature
from cxrjax.runs import calibration, provenance, run_dir
from cxrjax.runtime import atomic_files
from cxrjax.runtime.formatting import format_label, join_words

FILE = "external.json"


def assess_run(workdir: Path, name: str) -> dict[str, Any] | None:
    """Compare an evaluation on another data set with the run's own split, and write the result beside its rows.

    The own split is that of the same name, or validation where that one was not evaluated.

    Args:
        workdir: the run directory.
        name: name of the folder of the evaluation, see `dataset_record.results_dirname`.

    Returns:
        The result of `assess`, or of `external_findings.assess` for a classifier of several findings; None where there
        is none: on the run's own data, and for a segmenter.

    Raises:
        RunError: there is no run in the folder.
        FileNotFoundError: there is no such evaluation.
        ValueError: the rows or the calibration are invalid.
    """
    folder = workdir / "evaluation" / name
    origin = provenance.read(folder)
    rows = predictions_csv.read(folder / "predictions.csv")
    if origin.split in ("", name) or not rows:
        return None
    has_findings = predictions_csv.has_findings(rows[0])
    if not has_findings and not predictions_csv.class_names(rows[0], predictions_csv.COUNT_PREFIX):
        return None
    own_split, own_rows = _read_own(workdir, origin)
    assess_rows = external_findings.assess if has_findings else assess
    result = assess_rows(rows, own_rows, own_split, calibration.load(workdir, origin.step))
    result["dataset"] = origin.dataset
    if origin.left_out:
        result["warnings"].insert(0, _describe_left_out(origin.left_out))
    path = folder / (external_findings.FILE if has_findings else FILE)
    atomic_files.atomic_write(path, (json.dumps(result, indent=2, allow_nan=False) + "\n").encode())
    return result


def read(workdir: Path, name: str) -> dict[str, Any] | None:
    """Return the result that `assess_run` wrote for an evaluation; None where there is none.

    Raises:
        DamagedFileError: the file is damaged.
        RunError: an older version wrote the file, without what this one shows.
    """
    folder = workdir / "evaluation" / name
    path = next((folder / file for file in (FILE, external_findings.FILE) if (folder / file).exists()), None)
    if path is None:
        return None
    remedy = f"--mode=rescore --split={name} makes it again"
    result = json_file.read(path, remedy)
    if "warnings" not in result:
        raise run_dir.RunError(f"{path}: was written by an older cxrjax; {remedy}")
    return result


def assess(
    rows: Sequence[Mapping],
    own_rows: Sequence[Mapping],
    own_split: str,
    stored_calibration: Mapping[str, Any] | None,
    resamples: int = bootstrap.RESAMPLES,
) -> dict[str, Any]:
    """Compare the rows of another data set with those of the run's own split.

    Args:
        rows: of `predictions_csv.read`, at least one.
        own_rows: of the own split; empty if it was not evaluated.
        own_split: its name.
        stored_calibration: result of `calibration.load`.
        resamples: number of resamples of patients.

    Returns:
        "sentence"; "own_split"; "n" and "patients"; "own" and "pooled", the scores of all radiographs of the same
        classes: "accuracy", "sensitivity" and "auroc" (means over the classes), "classes" ({class: {"support",
        "sensitivity", "specificity", "auroc"}}); "difference" (pooled less own); "collections" ({name: scores, with
        "own", "difference", "judged", "verdict" and "small_classes"}); "within" (the mean "within" a collection, the
        "pooled" AUROC of the same classes, and their "difference"; {} if no collection has enough of two classes);
        "operating_points" ({class: {kind: {"own", "pooled", "at NAME"}}}); "calibration" and "temperature"
        ("validation" and "here"); "detector" (radiographs "flagged" as out of distribution, and the "share" of the fall
        that they are). Each score is {"value", "interval", "n"}.
    """
    combined = external_measure.combine(own_rows, rows)
    patients = [f"\1{patient}" for patient in prediction_arrays.patients(own_rows)] + prediction_arrays.patients(rows)
    measure = external_measure.metric_fn(combined, stored_calibration)
    scores = confidence.summarize(bootstrap.bootstrap(measure, patients, resamples), patients)
    if not own_rows:
        scores["own"] = {}
    collections = scores["collections"]
    judged = {name: external_measure.judged_labels(combined, name) for name in collections}
    num_judged = sum(bool(labels) for labels in judged.values())
    for name, group in collections.items():
        difference = group["judged"].get("difference")
        group["verdict"] = external_verdict.judge(difference, num_judged, own=scores["own"])
        group["small_classes"] = {
            label: n for label, n in combined.count_labels(combined.collections[name]).items() if n < MIN_CASES
        }
    result = {
        "own_split": own_split,
        "n": len(rows),
        **prediction_arrays.count_patients(rows),
        "target": stored_calibration["target"] if stored_calibration else None,
        **scores,
        "temperature": _temperatures(combined, stored_calibration),
    }
    return {"sentence": external_verdict.conclude(result), **result, "warnings": _list_warnings(result)}


def _read_own(workdir: Path, origin: provenance.Provenance) -> tuple[str, list[dict]]:
    """Return name and rows of the run's own split of the same network: that of the same name, or validation."""
    for split in (origin.split, run_dir.load_config(workdir).data.validation):
        folder = workdir / "evaluation" / split
        if split and (folder / "predictions.csv").exists() and provenance.read(folder).step == origin.step:
            return split, predictions_csv.read(folder / "predictions.csv")
    return origin.split, []


def _temperatures(rows: CombinedRows, stored_calibration: Mapping[str, Any] | None) -> dict[str, float]:
    """Return the temperature of validation, and the one that the other data set would be given."""
    members = rows.external[rows.predicted[rows.external] < len(rows.classes)]
    if not stored_calibration or not len(members):
        return {}
    here = fit_temperature(rows.probabilities[members], rows.truth[members])
    return {"validation": stored_calibration["temperature"], "here": here}


def _describe_left_out(counts: Mapping[str, int]) -> str:
    """Return a sentence on the radiographs that an evaluation left out, by their label."""
    names = [
        f"{count} {f'with the label {format_label(label)}' if label else 'without a label'}"
        for label, count in counts.items()
    ]
    return f"not evaluated, since the network does not know their label: {join_words(names)}"


def _list_warnings(result: Mapping[str, Any]) -> list[str]:
    """Return a sentence on each collection and class that is too small, and on a missing own split."""
    warnings = [] if result["own"] else [external_measure.warn_of_missing_own(result["own_split"])]
    for name, group in result["collections"].items():
        small = [f"{format_label(label)} ({n})" for label, n in group["small_classes"].items()]
        if len(small) == len(group["classes"]):
            warnings.append(f"{name} is too small to say anything: {join_words(small)}")
        elif small:
            warnings.append(f"{name} has too few radiographs of {join_words(small)} to say anything of them")
    return warnings
