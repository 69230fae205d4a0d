"""Comparison of two runs on the same radiographs, by intervals of the difference and by tests.

Writes RUN/evaluation/SPLIT/comparison_BASELINE_HASH.json: BASELINE is the name of the baseline's folder, and HASH tells
runs apart whose folders have the same name.
"""

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cxrjax.io import predictions_csv
from cxrjax.metrics import (
    bootstrap,
    classification,
    confidence,
    finding_arrays,
    hypothesis_tests,
    multilabel,
    prediction_arrays,
)
from cxrjax.metrics.finding_arrays import FindingArrays
from cxrjax.metrics.patient_weights import Weights
from cxrjax.metrics.prediction_arrays import PredictionArrays
from cxrjax.runtime import atomic_files
from cxrjax.runtime.formatting import format_label


def compare_runs(workdir: Path, baseline: Path, split: str) -> dict[str, Any]:
    """Compare the predictions of two runs, with the same resamples of patients for both.

    Args:
        workdir: run directory; both runs have been evaluated on the split.
        baseline: run directory of the run to compare with.
        split: see `scoring.score_run`.

    Returns:
        {"run", "baseline", "difference": {score: {"value", "interval", "n"}}, "p": {score: p}, "p_holm": {score: p}}
        and "runs", "n", "patients" and "without_patient" (`prediction_arrays.count_patients`), "warnings". A difference
        is the run's score less the baseline's. The p of accuracy is that of `hypothesis_tests.mcnemar_test`, that of an
        AUROC is DeLong's, both by patients; None where the test is undefined. "p_holm" has the p-values corrected for
        their number. "agreement" has the numbers of radiographs that "both_right", "run_alone", "baseline_alone" and
        "both_wrong" predict; {} for other tasks than one label per radiograph.

    Raises:
        FileNotFoundError: a run was not evaluated on the split.
        ValueError: a radiograph is in one run alone, or has another label or patient there; or the runs predict other
            classes or structures.
    """
    files = (workdir / "evaluation" / split / "predictions.csv", baseline / "evaluation" / split / "predictions.csv")
    rows, baseline_rows = _align(*files)
    patients = prediction_arrays.patients(rows)
    is_classifier = bool(predictions_csv.class_names(rows[0], predictions_csv.COUNT_PREFIX))
    tests: dict[str, float | None] = {}
    agreement: dict[str, int] = {}
    if predictions_csv.has_findings(rows[0]):
        findings = finding_arrays.collect(rows)
        baseline_findings = finding_arrays.collect(baseline_rows)
        run_metrics = _finding_metrics(findings)
        baseline_metrics = _finding_metrics(baseline_findings)
        tests = _paired_finding_tests(findings, baseline_findings, patients)
    elif is_classifier:
        cases = prediction_arrays.collect(rows)
        baseline_cases = prediction_arrays.collect(baseline_rows)
        run_metrics = _label_metrics(cases)
        baseline_metrics = _label_metrics(baseline_cases)
        tests = _paired_tests(cases, baseline_cases, patients)
        agreement = _count_agreement(cases, baseline_cases)
    else:
        run_metrics = _mask_metrics(rows)
        baseline_metrics = _mask_metrics(baseline_rows)

    def metrics(weights: Weights) -> dict:
        scores = run_metrics(weights)
        baseline_scores = baseline_metrics(weights)
        difference = {name: confidence.difference(scores[name], baseline_scores[name]) for name in scores}
        return {"n": weights.sum(1), "run": scores, "baseline": baseline_scores, "difference": difference}

    result: dict[str, Any] = {
        "runs": {"run": str(workdir), "baseline": str(baseline)},
        "split": split,
        **prediction_arrays.count_patients(rows),
        "num_resamples": bootstrap.RESAMPLES,
    }
    result |= confidence.summarize(bootstrap.bootstrap(metrics, patients), patients)
    result |= {"agreement": agreement, "p": tests, "p_holm": _holm_adjusted(tests), "warnings": []}
    atomic_files.atomic_write(
        comparison_path(workdir, baseline, split), (json.dumps(result, indent=2, allow_nan=False) + "\n").encode()
    )
    return result


def comparison_path(workdir: Path, baseline: Path, split: str) -> Path:
    """Return the path of the file that a comparison is written to."""
    folder = baseline.resolve()
    checksum = zlib.crc32(str(folder).encode())
    return workdir / "evaluation" / split / f"comparison_{folder.name}_{checksum:08x}.json"


def _align(first_file: Path, second_file: Path) -> tuple[list[dict], list[dict]]:
    """Return the rows of both files in the order of the first, matched by source and path.

    Raises:
        ValueError: the files do not have the same radiographs, labels, patients, classes and structures.
    """
    first = _index_rows(first_file)
    second = _index_rows(second_file)
    if {path for _, path in first} != {path for _, path in second}:
        raise ValueError(
            f"the runs were evaluated on different radiographs: {first_file} has {len(first)}, {second_file} has "
            f"{len(second)}, and {len(first.keys() & second.keys())} are in both; evaluate both runs on one data set "
            "that neither was trained on (--mode=evaluate --dataset=DATA_SET), then compare them with the same "
            "--dataset"
        )
    for table, other, other_file in ((first, second, second_file), (second, first, first_file)):
        for source, path in table:
            if (source, path) not in other:
                raise ValueError(f"{other_file}: {path} is not of the source {source!r} there")
    if not first:
        raise ValueError(f"{first_file}: there is no radiograph to compare")
    for (source, path), row in first.items():
        other_row = second[source, path]
        targets = [column for column in row if column.startswith(predictions_csv.TARGET_PREFIX)]
        for column in ("label", "patient_id", *targets):
            value = row.get(column, "")
            other_value = other_row.get(column, "")
            if value != other_value and not (value != value and other_value != other_value):  # two unknowns are equal
                raise ValueError(f"{second_file}: the {column} of {path} is {other_value!r}, not {value!r}")
    first_outputs = _predicted_names(first)
    second_outputs = _predicted_names(second)
    if first_outputs != second_outputs:
        raise ValueError(f"{second_file}: it predicts {second_outputs}, and {first_file} predicts {first_outputs}")
    return list(first.values()), [second[key] for key in first]


def _index_rows(file: Path) -> dict[tuple[str, str], dict]:
    """Return the rows of a file by (source, path).

    Raises:
        ValueError: a radiograph has two rows.
    """
    table: dict[tuple[str, str], dict] = {}
    for row in predictions_csv.read(file):
        key = (row.get("source", ""), row["path"])
        if key in table:
            raise ValueError(f"{file}: {row['path']} is there twice, so that its rows cannot be compared")
        table[key] = row
    return table


def _predicted_names(table: Mapping[tuple[str, str], Mapping]) -> list[list[str]]:
    """Return the classes and the structures that a table has predictions of."""
    row = next(iter(table.values()), {})
    return [predictions_csv.class_names(row, prefix) for prefix in (predictions_csv.COUNT_PREFIX, "dice_")]


def _label_metrics(cases: PredictionArrays) -> Callable[[Weights], dict]:
    rows = np.arange(len(cases.truth))

    def metrics(weights: Weights) -> dict:
        scores = cases.scores(rows, weights)
        macro = {f"macro {name}": scores["macro"][name] for name in ("f1", "auroc")}
        auroc = {_auroc_name(label): class_scores["auroc"] for label, class_scores in scores["classes"].items()}
        return {"accuracy": scores["accuracy"]} | macro | auroc

    return metrics


def _finding_metrics(arrays: FindingArrays) -> Callable[[Weights], dict]:
    measure = multilabel.prepare_findings(arrays)

    def metrics(weights: Weights) -> dict:
        scores = measure(weights)
        titles = {"auroc": "macro AUROC", "average_precision": "macro average precision", "f1": "macro F1"}
        macro = {title: scores["macro"][name] for name, title in titles.items()}
        auroc = {_auroc_name(name): of_finding["auroc"] for name, of_finding in scores["classes"].items()}
        return macro | auroc

    return metrics


def _mask_metrics(rows: Sequence[Mapping]) -> Callable[[Weights], dict]:
    def metrics(weights: Weights) -> dict:
        structures = classification.measure_masks(rows, weights)["structures"]
        return {f"{score} {name}": s[score] for name, s in structures.items() for score in ("dice", "jaccard")}

    return metrics


def _paired_tests(
    first: PredictionArrays, second: PredictionArrays, patients: Sequence[str]
) -> dict[str, float | None]:
    """Return the p-value of each score; None where the test is undefined."""
    patient_index = np.unique(patients, return_inverse=True)[1]
    differences = np.bincount(patient_index, first.correct.astype(int) - second.correct.astype(int)).astype(int)
    p_values: dict[str, float | None] = {"accuracy": hypothesis_tests.mcnemar_test(differences)}
    for k, label in enumerate(first.classes):
        result = hypothesis_tests.delong_test(
            first.truth == k, first.probabilities[:, k], second.probabilities[:, k], patients
        )
        p_values[_auroc_name(label)] = None if result is None else result.p
    return p_values


def _paired_finding_tests(
    first: FindingArrays, second: FindingArrays, patients: Sequence[str]
) -> dict[str, float | None]:
    """Return the p-value of the AUROC of each finding; None where the test is undefined."""
    patient_ids = np.array(patients)
    p_values = {}
    for k, name in enumerate(first.findings):
        rows = first.rows(k)
        result = hypothesis_tests.delong_test(
            first.positive[rows, k],
            first.probabilities[rows, k],
            second.probabilities[rows, k],
            patient_ids[rows].tolist(),
        )
        p_values[_auroc_name(name)] = None if result is None else result.p
    return p_values


def _count_agreement(first: PredictionArrays, second: PredictionArrays) -> dict[str, int]:
    """Return how many radiographs both runs, one of them, and neither predict correctly."""
    return {
        "both_right": int((first.correct & second.correct).sum()),
        "run_alone": int((first.correct & ~second.correct).sum()),
        "baseline_alone": int((~first.correct & second.correct).sum()),
        "both_wrong": int((~first.correct & ~second.correct).sum()),
    }


def _holm_adjusted(p_values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return the p-values corrected by Holm's method; None stays None."""
    defined = {name: p for name, p in p_values.items() if p is not None}
    adjusted = dict(zip(defined, hypothesis_tests.holm(list(defined.values())).tolist(), strict=True))
    return {name: adjusted.get(name) for name in p_values}


def _auroc_name(label: str) -> str:
    return f"AUROC {format_label(label)}"
