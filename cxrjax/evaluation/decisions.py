"""Decisions of a run by thresholds that are chosen on validation: predicted findings, and the column `decision`.

`decision` is whether the confidence of a label is high enough to rely on it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cxrjax.inference import finding_thresholds
from cxrjax.io import findings, predictions_csv
from cxrjax.ops import voting
from cxrjax.runs import calibration, provenance, run_dir
from cxrjax.runtime.formatting import format_count, pick_form

COLUMN = "decision"


def decide(row: Mapping[str, Any], min_confidence: float | None) -> str:
    """Return the decision on a row of predictions.csv, as `Predictor.decision` of its result.

    Args:
        row: with "prediction" and "confidence", before temperature scaling.
        min_confidence: result of `calibration.load_min_confidence`.

    Returns:
        DECIDED, UNDECIDED, or "" without a prediction or without a threshold.
    """
    if min_confidence is None or not row.get("prediction"):
        return ""
    return predictions_csv.DECIDED if row["confidence"] >= min_confidence else predictions_csv.UNDECIDED


def describe_undecided(
    rows: Sequence[Mapping[str, Any]], fitted: Mapping[str, Any] | None, min_confidence: float | None
) -> str:
    """Return how many predictions are undecided, why, and how many of the others are correct, in sentences.

    Args:
        rows: of predictions.csv, with `COLUMN`.
        fitted: content of calibration.json; None where there is none.
        min_confidence: result of `calibration.load_min_confidence`.

    Returns:
        The sentences; "" where no row has a decision.
    """
    decided = [row for row in rows if row.get(COLUMN) == predictions_csv.DECIDED]
    undecided = sum(row.get(COLUMN) == predictions_csv.UNDECIDED for row in rows)
    total = len(decided) + undecided
    if fitted is None or not total:
        return ""
    verb = pick_form(undecided or 1, "is", "are")
    number = f"{undecided or 'None'} of {format_count(total, 'prediction')} {verb} undecided"
    target = f"{fitted.get('target', calibration.TARGET):.0%}"
    validation = f"validation split ({fitted['split']})" if "split" in fitted else "validation split"
    if min_confidence is None or not np.isfinite(min_confidence):
        return f"{number}: on the {validation}, at no level of confidence were {target} of the predictions correct."
    text = (
        f"{number} (confidence below {min_confidence:.0%}). Of the predictions above, at least {target} were correct "
    )
    text += f"on the {validation}"
    if decided:
        correct = np.mean([row["prediction"] == row["label"] for row in decided])
        text += f", and here {correct:.0%} of {len(decided)}"
    return f"{text}."


def summarize_run(workdir: Path, split: str) -> str:
    """Return the sentences of `describe_undecided` on an evaluation of a run; "" of a segmenter and of findings.

    Args:
        workdir: the run directory.
        split: name of the folder of the evaluation, whose rows have been written.
    """
    folder = workdir / "evaluation" / split
    rows = predictions_csv.read(folder / "predictions.csv")
    if not any(row.get(COLUMN) for row in rows):
        return ""
    step = provenance.read(folder).step
    fitted = calibration.load(workdir, step) if calibration.matches_step(workdir, step) else None
    return describe_undecided(rows, fitted, calibration.load_min_confidence(workdir, step))


def find_findings(row: Mapping[str, Any], thresholds: Mapping[str, float], rule: str) -> dict[str, Any]:
    """Return the cells "prediction" and "threshold_NAME" of a row of several findings, as a `FindingPredictor` does.

    Args:
        row: with probabilities before temperature scaling.
        thresholds: result of `calibration.load_decision_thresholds`.
        rule: how patches vote, `voting.aggregation`.
    """
    if row["status"] != predictions_csv.OK:
        return {}
    names = predictions_csv.class_names(row, predictions_csv.COUNT_PREFIX)
    chosen = np.array([thresholds.get(name, np.nan) for name in names])
    votes = np.array([row[f"{predictions_csv.COUNT_PREFIX}{name}"] for name in names])
    num_patches = np.array(row[predictions_csv.NUM_PATCHES])
    probabilities = predictions_csv.probabilities([row], names)[0]
    positive = voting.find_positive(votes, probabilities, num_patches, rule, chosen)
    label = findings.format_label(dict(zip(names, positive.tolist(), strict=True)))
    return {"prediction": label, **finding_thresholds.to_cells(names, chosen)}


def write_decisions(workdir: Path, split: str) -> None:
    """Write the column `decision` to the rows of an evaluation, and the findings that are predicted.

    Both are by the calibration that the run has now.

    The threshold is chosen on the rows of validation, so that it is known only after they have been written. Rows of a
    segmenter have no such column.

    Args:
        workdir: the run directory.
        split: name of the folder of the evaluation.
    """
    folder = workdir / "evaluation" / split
    file = folder / "predictions.csv"
    rows = predictions_csv.read(file)
    if not rows or "prediction" not in rows[0]:
        return
    step = provenance.read(folder).step
    columns = [column for column in rows[0] if column != COLUMN]
    if predictions_csv.has_findings(rows[0]):
        thresholds = calibration.load_decision_thresholds(workdir, step)
        rule = run_dir.load_config(workdir).voting.aggregation
        decided_rows = [row | {COLUMN: ""} | find_findings(row, thresholds, rule) for row in rows]
        columns = _with_threshold_columns(columns)
    else:
        min_confidence = calibration.load_min_confidence(workdir, step)
        decided_rows = [row | {COLUMN: decide(row, min_confidence)} for row in rows]
    predictions_csv.write(file, decided_rows, [*columns[:-2], COLUMN, *columns[-2:]])


def _with_threshold_columns(columns: list[str]) -> list[str]:
    """Return the columns of rows of several findings; those of an older version lack the thresholds."""
    probabilities = [column for column in columns if column.startswith("probability_")]
    thresholds = [column.replace("probability_", predictions_csv.THRESHOLD_PREFIX, 1) for column in probabilities]
    others = [column for column in columns if column not in thresholds]
    position = others.index(probabilities[-1]) + 1
    return [*others[:position], *thresholds, *others[position:]]
