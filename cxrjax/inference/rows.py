"""Cells of `predictions.csv` for results of the networks, and their description in words."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cxrjax.io import findings, predictions_csv
from cxrjax.runtime.formatting import format_label


def status_cells(has_lungs: bool) -> dict[str, str]:
    """Return the cells "status" and "reason"."""
    if has_lungs:
        return {"status": predictions_csv.OK, "reason": ""}
    return {"status": predictions_csv.NO_LUNGS_FOUND, "reason": "the segmenter finds no lungs, or too small ones"}


def to_float(value: Any) -> float:
    """Return the float with the fewest digits that rounds to a float32: 0.1 instead of 0.10000000149011612."""
    return float(str(np.asarray(value)[()]))


def describe(row: Mapping[str, Any]) -> str:
    """Describe a row of `predictions.csv` in words, for a caption."""
    if row["status"] != predictions_csv.OK:
        return row["status"]
    if not row.get("prediction"):
        return f"lungs found, confidence {row['lung_confidence']:.2f}"
    if predictions_csv.has_findings(row):
        return ", ".join(map(format_label, row["prediction"].split(findings.SEPARATOR)))
    label = f"{format_label(row['prediction'])}, {row['vote_fraction']:.0%} of votes"
    return f"undecided ({label})" if row.get("decision") == predictions_csv.UNDECIDED else label
