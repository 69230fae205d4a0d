"""Rows of the experiments of an audit, as in predictions.csv, and what they say of one class or finding."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from cxrjax.io import findings, predictions_csv


def make_label_rows(
    cases: Sequence[Mapping[str, str]],
    classes: Sequence[str],
    probabilities: Num[np.ndarray, "n k"],
    label: Int[np.ndarray, "n"] | None = None,
    votes: Int[np.ndarray, "n k"] | None = None,
    has_prediction: Bool[np.ndarray, "n"] | None = None,
) -> list[dict[str, Any]]:
    """Return rows of one label per radiograph.

    Args:
        cases: path, patient_id, source, label and split of n radiographs.
        classes: the k class names.
        probabilities: of the classes.
        label: index of the predicted class; None for the class of the highest probability.
        votes: of the patches; None for one vote, for the predicted class.
        has_prediction: None for all True.
    """
    if label is None:
        label = np.asarray(probabilities.argmax(1))
    if votes is None:
        votes = np.eye(len(classes), dtype=int)[label]
    rows = []
    for i, row in enumerate(_start_rows(cases, has_prediction)):
        if row["status"] == predictions_csv.OK:
            row |= _output_cells(classes, probabilities[i], votes[i])
            row |= {"prediction": classes[label[i]], "confidence": probabilities[i, label[i]]}
            row |= {"vote_fraction": votes[i, label[i]] / votes[i].sum()}
        rows.append(row)
    return rows


def make_finding_rows(
    cases: Sequence[Mapping[str, str]],
    names: Sequence[str],
    targets: Float[np.ndarray, "n k"],
    probabilities: Num[np.ndarray, "n k"],
    called: Bool[np.ndarray, "n k"] | None = None,
    votes: Int[np.ndarray, "n k"] | None = None,
    num_patches: Int[np.ndarray, "n"] | None = None,
    has_prediction: Bool[np.ndarray, "n"] | None = None,
) -> list[dict[str, Any]]:
    """Return rows of several findings per radiograph.

    Args:
        cases: path, patient_id, source, label and split of n radiographs.
        names: of the k findings.
        targets: their truth, as `cxrjax.io.findings` describes.
        probabilities: of the findings.
        called: whether each is predicted; None for a probability above 0.5.
        votes: of the patches; None for one vote per finding that is called.
        num_patches: patches that voted; None for 1.
        has_prediction: None for all True.
    """
    if called is None:
        called = probabilities > 0.5
    if votes is None:
        votes = called.astype(int)
    if num_patches is None:
        num_patches = np.ones(len(cases), int)
    rows = []
    for i, row in enumerate(_start_rows(cases, has_prediction)):
        row |= {predictions_csv.TARGET_PREFIX + name: float(x) for name, x in zip(names, targets[i], strict=True)}
        row[predictions_csv.NUM_PATCHES] = int(num_patches[i])
        if row["status"] == predictions_csv.OK:
            row |= _output_cells(names, probabilities[i], votes[i])
            row["prediction"] = findings.format_label(dict(zip(names, called[i].astype(float), strict=True)))
        rows.append(row)
    return rows


def lacks_class(row: Mapping[str, Any], name: str) -> bool:
    """Return whether a row's truth is known not to be, or not to have, a class or finding."""
    if predictions_csv.has_findings(row):
        return 0 <= row[predictions_csv.TARGET_PREFIX + name] < findings.PRESENT
    return row["label"] != name


def predicts_class(row: Mapping[str, Any], name: str) -> bool:
    """Return whether a row's prediction is, or has, a class or finding."""
    if predictions_csv.has_findings(row):
        return name in findings.from_label(row["prediction"])
    return row["prediction"] == name


def _output_cells(
    names: Sequence[str], probabilities: Num[np.ndarray, "k"], votes: Int[np.ndarray, "k"]
) -> dict[str, Any]:
    """Return the cells of the probabilities and votes of one radiograph."""
    cells: dict[str, Any] = {f"probability_{name}": p for name, p in zip(names, probabilities, strict=True)}
    return cells | {f"votes_{name}": int(count) for name, count in zip(names, votes, strict=True)}


def _start_rows(
    cases: Sequence[Mapping[str, str]], has_prediction: Bool[np.ndarray, "n"] | None
) -> list[dict[str, Any]]:
    """Return the cells that do not depend on the network, and the status."""
    if has_prediction is None:
        has_prediction = np.ones(len(cases), bool)
    statuses = [predictions_csv.OK if has else predictions_csv.NO_LUNGS_FOUND for has in has_prediction]
    return [{**case, "status": status} for case, status in zip(cases, statuses, strict=True)]
