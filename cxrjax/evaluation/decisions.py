"""The column `decision` of an evaluation: whether the confidence of a prediction is high enough to rely on it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxrjax.io import predictions_csv
from cxrjax.runs import calibration, provenance

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


def write_decisions(workdir: Path, split: str) -> None:
    """Write the column `decision` to the rows of an evaluation, by the calibration that the run has now.

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
    min_confidence = calibration.load_min_confidence(workdir, provenance.read(folder).step)
    columns = [column for column in rows[0] if column != COLUMN]
    decided_rows = [row | {COLUMN: decide(row, min_confidence)} for row in rows]
    predictions_csv.write(file, decided_rows, [*columns[:-2], COLUMN, *columns[-2:]])
