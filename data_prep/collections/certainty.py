"""Cells of CheXpert's labeler: 1 positive, 0 negative, -1 uncertain, blank not mentioned (Irvin et al. 2019)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from data_prep.collections.cells import is_blank
from data_prep.record import PreparationError

NO_FINDING = "No Finding"
SUPPORT_DEVICES = "Support Devices"
FINDINGS = (
    "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation", "Pneumonia",
    "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", SUPPORT_DEVICES,
)  # fmt: skip


def read_findings(row: Mapping[str, str], path: Path, findings: Sequence[str] = FINDINGS) -> dict[str, float]:
    """Return the findings of a row that are mentioned.

    A row with a positive "No Finding" has every finding that it does not mention as negative, but for devices, of
    which "No Finding" says nothing.

    Args:
        row: column -> cell.
        path: file of the table, for messages.
        findings: columns of the findings.

    Raises:
        PreparationError: a cell is not one of 1, 0, -1 or blank.
    """
    known: dict[str, float] = {}
    for name in findings:
        text = row[name]
        if is_blank(text):
            continue
        if text not in ("1", "0", "-1", "1.0", "0.0", "-1.0"):
            raise PreparationError(f"{path}: the cell {text!r} of {name} is not one of 1, 0, -1 or blank")
        known[name] = float(text)
    if row.get(NO_FINDING, "") in ("1", "1.0"):
        known = {name: known.get(name, 0.0) for name in findings if name != SUPPORT_DEVICES or name in known}
    return known
