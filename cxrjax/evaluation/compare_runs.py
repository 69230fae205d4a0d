"""Two runs on the same radiographs: whether they differ, by intervals of the difference and by tests.

Writes RUN/evaluation/SPLIT/comparison_OTHER_HASH.json, OTHER being the name of the other run's folder, and HASH
parting runs whose folders have the same name.
"""

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrjax.io import predictions_csv
from cxrjax.metrics import bootstrap, classification, confidence, delong, prediction_arrays, proportions
from cxrjax.metrics.prediction_arrays import PredictionArrays
from cxrjax.runtime import atomic_files


def compare(workdir: Path, other: Path, split: str) -> dict[str, Any]:
    """Compare the rows of two runs, the same resamples of patients for both.

    Args:
        workdir: the first run directory; both are evaluated on the split.
        other: the second.
        split: see `scoring.score`.

    Returns:
        {"first", "second", "difference": {score: {"value", "interval", "n"}}, "p": {score: p}, "p_holm": {score: p}}
        and "runs", "n", "patients" and "without_patient" (`prediction_arrays.count_patients`), "warnings". The p of accuracy is
        that of `proportions.compare_paired`, that of an AUROC DeLong's, both by patients, and None where it cannot
        tell; p_holm are those corrected for their number.

    Raises:
        FileNotFoundError: one was not evaluated on the split.
        ValueError: a radiograph is in one alone, or has another label or patient there; or the runs tell other things.
    """
    files = [run / "evaluation" / split / "predictions.csv" for run in (workdir, other)]
    first, second = _align(*files)
    patients = prediction_arrays.patients(first)
    finds = bool(predictions_csv.names(first[0], predictions_csv.COUNT_PREFIX))
    cases = [prediction_arrays.collect(rows) for rows in (first, second)] if finds else []
    measures = [_measure_findings(case) for case in cases] or [_measure_masks(rows) for rows in (first, second)]

    def measure(weights: NDArray) -> dict:
        a, b = (one(weights) for one in measures)
        difference = {name: confidence.difference(a[name], b[name]) for name in a}
        return {"n": weights.sum(1), "first": a, "second": b, "difference": difference}

    runs = {"first": str(workdir), "second": str(other)}
    result: dict[str, Any] = {
        "runs": runs,
        "split": split,
        **prediction_arrays.count_patients(first),
        "resamples": bootstrap.RESAMPLES,
    }
    result |= confidence.summarize(bootstrap.bootstrap(measure, patients), patients)
    tests = _test(*cases, patients) if finds else {}
    result |= {"p": tests, "p_holm": _correct(tests), "warnings": []}
    atomic_files.atomic_write(
        locate(workdir, other, split), (json.dumps(result, indent=2, allow_nan=False) + "\n").encode()
    )
    return result


def locate(workdir: Path, other: Path, split: str) -> Path:
    """Return the file that a comparison is written to."""
    place = other.resolve()
    return workdir / "evaluation" / split / f"comparison_{place.name}_{zlib.crc32(str(place).encode()):08x}.json"


def _align(*files: Path) -> list[list[dict]]:
    """Return the rows of both files, in the order of the first; a radiograph is known by its path and source."""
    tables = [_index(file) for file in files]
    first, second = tables
    for here, there, file in ((first, second, files[1]), (second, first, files[0])):
        paths = {path for _, path in there}
        if alone := [path for _, path in here if path not in paths]:
            raise ValueError(f"{file}: there is no {alone[0]} in it, and only the same radiographs can be compared")
        if alone := [key for key in here if key not in there]:
            raise ValueError(f"{file}: {alone[0][1]} is not of the source {alone[0][0]!r} there")
    if not first:
        raise ValueError(f"{files[0]}: there is no radiograph to compare")
    for place, row in first.items():
        for key in ("label", "patient_id"):
            here, there = row.get(key, ""), second[place].get(key, "")
            if here != there:
                raise ValueError(f"{files[1]}: the {key} of {place[1]} is {there!r}, not {here!r}")
    told = [[names(table) for names in (_classes, _structures)] for table in tables]
    if told[0] != told[1]:
        raise ValueError(f"{files[1]}: it tells of {told[1]}, and the other of {told[0]}")
    return [list(first.values()), [second[place] for place in first]]


def _index(file: Path) -> dict[tuple[str, str], dict]:
    """Return the rows of a file by source and path; ValueError where a radiograph is there twice."""
    table: dict[tuple[str, str], dict] = {}
    for row in predictions_csv.read(file):
        place = row.get("source", ""), row["path"]
        if place in table:
            raise ValueError(f"{file}: {row['path']} is there twice, so that its rows cannot be compared")
        table[place] = row
    return table


def _classes(table: Mapping[str, Mapping]) -> list[str]:
    return predictions_csv.names(next(iter(table.values()), {}), predictions_csv.COUNT_PREFIX)


def _structures(table: Mapping[str, Mapping]) -> list[str]:
    return predictions_csv.names(next(iter(table.values()), {}), "dice_")


def _measure_findings(cases: PredictionArrays) -> Callable[[NDArray], dict]:
    everyone = np.arange(len(cases.truth))

    def measure(weights: NDArray) -> dict:
        scores = cases.at(everyone, weights)
        macro = {f"macro {name}": scores["macro"][name] for name in ("f1", "auroc")}
        return {"accuracy": scores["accuracy"]} | macro | {_area(k): v["auroc"] for k, v in scores["classes"].items()}

    return measure


def _measure_masks(rows: Sequence[Mapping]) -> Callable[[NDArray], dict]:
    def measure(weights: NDArray) -> dict:
        structures = classification.measure_masks(rows, weights)["structures"]
        return {f"{score} {name}": s[score] for name, s in structures.items() for score in ("dice", "jaccard")}

    return measure


def _test(first: PredictionArrays, second: PredictionArrays, patients: Sequence[str]) -> dict[str, float | None]:
    patient = np.unique(patients, return_inverse=True)[1]
    apart = np.bincount(patient, first.right.astype(int) - second.right.astype(int)).astype(int)
    p: dict[str, float | None] = {"accuracy": proportions.mcnemar_test(apart)}
    for k, name in enumerate(first.classes):
        scores = first.probabilities[:, k], second.probabilities[:, k]
        tested = delong.delong_test(first.truth == k, *scores, patients)
        p[_area(name)] = tested and tested.p
    return p


def _correct(tests: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return p values corrected by Holm's method; None stays None."""
    known = {name: p for name, p in tests.items() if p is not None}
    corrected = dict(zip(known, proportions.holm(list(known.values())).tolist(), strict=True))
    return {name: corrected.get(name) for name in tests}


def _area(name: str) -> str:
    return f"AUROC {name}"
