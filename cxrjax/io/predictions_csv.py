"""predictions.csv: one row per radiograph, from which every score can be recomputed. No other module knows its format.

Text columns hold any text. `votes_<class>` are counts of patches. All other columns are decimal numbers in the fewest
digits that read back equal at the precision they were written in, blank where there is none (NaN). A radiograph that
failed has a row too: its status and reason say why, and its prediction is blank. Columns by which earlier versions
called them are read under their names of today (`cxrjax.runtime.former_names`).
"""

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrjax.io import csv_text, saved_files
from cxrjax.runtime import atomic_files, former_names

OK = "ok"
NO_LUNGS_FOUND = "no lungs found"
UNREADABLE = "unreadable"
REFUSED = "refused"
FAILED = "failed"
STATUSES = (OK, NO_LUNGS_FOUND, UNREADABLE, REFUSED, FAILED)
IDENTITY_COLUMNS = ("path", "patient_id", "source", "view", "sex", "age", "split", "label")
TEXT_COLUMNS = (
    *("path", "patient_id", "source", "view", "sex", "split", "label", "prediction", "source_baseline"),
    *("ood_reason", "status", "reason"),
)
FILE_TEXT_COLUMNS = (
    "decision",
    "notice",
    *saved_files.SUFFIXES,
)  # of a prediction of files; an evaluation has `decision`
LUNGS = ("left_lung", "right_lung")
BOX_COLUMNS = tuple(f"{lung}_{part}" for lung in LUNGS for part in ("row", "column", "height", "width"))
GEOMETRY_COLUMNS = (*BOX_COLUMNS, *(f"{lung}_area_mm2" for lung in (*LUNGS, "lung")), "cardiothoracic_ratio")
DECIDED = "decided"
UNDECIDED = "undecided"  # the confidence of the prediction is too low to be relied on (`cxrjax.runs.calibration`)
_CLASS_COLUMNS = ("prediction", "confidence", "vote_fraction", "expected_entropy", "mutual_information")
NUMBER_COLUMNS = ("age", *_CLASS_COLUMNS[1:], "lung_confidence", "energy_in_lesions", *GEOMETRY_COLUMNS)
COUNT_PREFIX = "votes_"
TARGET_PREFIX = "target_"
THRESHOLD_PREFIX = "threshold_"
NUM_PATCHES = "num_patches"  # a column of several findings per radiograph alone
NUMBER_PREFIXES = ("probability_", TARGET_PREFIX, THRESHOLD_PREFIX, "dice_", "jaccard_")


def classification_columns(classes: Sequence[str], has_ood_detector: bool = True) -> list[str]:
    """Return the columns of a classifier, with a probability (0..1) and a count of votes for each class.

    View and sex are as upstream writes them, the age is in years. `label` is the true class, `prediction` that of the
    network, `source_baseline` that predicted from the source alone. `vote_fraction` (0..1) is the share of the patches
    that voted for the prediction; `expected_entropy` and `mutual_information` are in nats (see `voting.VoteResult`).
    `energy_in_lesions` is the share (0..1) of the saliency map inside known lesions. `ood_reason` says why the image is
    unlike the training radiographs (`cxrjax.inference.ood`); it is blank if the image is not, and the column is absent
    without an OOD detector.
    """
    return [
        *IDENTITY_COLUMNS,
        *_CLASS_COLUMNS,
        *(f"probability_{name}" for name in classes),
        *(f"votes_{name}" for name in classes),
        *("lung_confidence", "energy_in_lesions", "source_baseline"),
        *(["ood_reason"] if has_ood_detector else []),
        *("status", "reason"),
    ]


def finding_columns(findings: Sequence[str], has_ood_detector: bool = True) -> list[str]:
    """Return the columns of a classifier of several findings per radiograph (`classifier.targets="multi"`).

    `label` has the positive findings of the ground truth and `prediction` those of the network, joined by "|" or "no
    finding"; each finding is predicted on its own. For each finding there are `target_NAME`, the ground truth (1
    positive, 0 negative, between them for soft labels, -1 uncertain, blank if unknown); `probability_NAME` (0..1), the
    mean over the patches; `threshold_NAME`, the probability from which on the finding is predicted, 0.5 where none was
    chosen on validation; and `votes_NAME`, the number of patches whose probability is above 0.5, of `num_patches` that
    vote. `expected_entropy` and `mutual_information` (nats) are sums over the findings. The other columns are
    those of `classification_columns`.
    """
    return [
        *IDENTITY_COLUMNS,
        *("prediction", "expected_entropy", "mutual_information"),
        *(f"{TARGET_PREFIX}{name}" for name in findings),
        *(f"probability_{name}" for name in findings),
        *(f"{THRESHOLD_PREFIX}{name}" for name in findings),
        *(f"{COUNT_PREFIX}{name}" for name in findings),
        *(NUM_PATCHES, "lung_confidence", "energy_in_lesions"),
        *(["ood_reason"] if has_ood_detector else []),
        *("status", "reason"),
    ]


def has_findings(row: Mapping) -> bool:
    """Return whether a row of `read` has several findings per radiograph, as `finding_columns` describes."""
    return NUM_PATCHES in row


def targets(rows: Sequence[Mapping], findings: Sequence[str]) -> NDArray[np.float64]:
    """Return the ground truth of n rows: float64 [n, K] of 0..1, -1 if uncertain, NaN if unknown."""
    columns = [f"{TARGET_PREFIX}{name}" for name in findings]
    return np.array([[row[column] for column in columns] for row in rows], np.float64).reshape(-1, len(columns))


def file_columns(
    classes: Sequence[str],
    has_ood_detector: bool,
    has_segmenter: bool = True,
    saved: Sequence[str] = ("figure",),
    has_notice: bool = False,
    is_multi_label: bool = False,
) -> list[str]:
    """Return the columns of a prediction of files.

    They have `decision`, which is DECIDED, UNDECIDED or blank (see `Predictor.decision`); with a segmenter, for each
    lung the box in pixels of the file (`left_lung_row`, `left_lung_column`, `left_lung_height`, `left_lung_width`; the
    patient's left) and the area in mm², where the spacing of the pixels is known, and the cardiothoracic ratio (see
    `cxrjax.inference.lung_geometry`); and, for each file that was saved, its name in the folder of the table.

    Args:
        classes: of the run; () of a run that trained a segmenter.
        has_ood_detector: whether the run judges what is unlike the training radiographs.
        has_segmenter: whether the run finds lungs.
        saved: names of the files that are saved, of `saved_files.list_files`.
        is_multi_label: whether the run predicts several findings per radiograph.
        has_notice: whether the run has a notice, the text of the column `notice` (see `cxrjax.runs.notice`).
    """
    if is_multi_label:
        all_columns = finding_columns(classes, has_ood_detector)
        columns = [column for column in all_columns if not column.startswith(TARGET_PREFIX)]
    else:
        columns = classification_columns(classes, has_ood_detector) if classes else segmentation_columns(())
    geometry = GEOMETRY_COLUMNS if has_segmenter else ()
    notice = ["notice"] if has_notice else []
    return [*columns[:-2], "decision", *geometry, *saved, *notice, *columns[-2:]]


def segmentation_columns(structures: Sequence[str]) -> list[str]:
    """Return the columns of a segmenter, with the Dice and the Jaccard (0..1) of each structure."""
    return [
        *IDENTITY_COLUMNS,
        *(f"dice_{name}" for name in structures),
        *(f"jaccard_{name}" for name in structures),
        *("lung_confidence", "status", "reason"),
    ]


def write(path: str | os.PathLike, rows: Iterable[Mapping], columns: Sequence[str]) -> None:
    """Write rows as CSV, atomically: an older file stays as it was until the new one is complete.

    Args:
        path: the file; its folder exists.
        rows: cells by column. A missing column is written blank: no text, no number, no votes.
        columns: the header, from `classification_columns` or `segmentation_columns`.

    Raises:
        ValueError: a row has a key that is not a column, or a status that is not one of STATUSES; names the file.
    """
    cells: list[Sequence[object]] = [columns]
    for row in rows:
        if unknown := row.keys() - set(columns):
            raise ValueError(f"{path}: {min(unknown)} is not one of its columns")
        if row.get("status") not in STATUSES:
            raise ValueError(f"{path}: the status {row.get('status')!r} is none of {', '.join(STATUSES)}")
        cells.append([_format(column, row.get(column)) for column in columns])
    atomic_files.atomic_write(path, csv_text.encode_rows(cells))


def read(path: str | os.PathLike) -> list[dict]:
    """Read a file of `write`, of this or an earlier version.

    Returns:
        One dict per radiograph, keys in the order of the columns: text is str, votes int (blank 0), others float (blank
        NaN).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not valid; the message names the file, the line and the reason.
    """
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        table = csv.reader(file, strict=True)
        try:
            columns = former_names.current_columns([csv_text.restore(cell) for cell in next(table, [])])
            _check(columns)
            return [_parse(columns, cells) for cells in table]
        except (ValueError, csv.Error) as error:
            raise ValueError(f"{path}: line {max(table.line_num, 1)}: {error}") from None


def class_names(row: Mapping, prefix: str) -> list[str]:
    """Return the classes or structures of a row, in order, given the prefix of their columns, such as "dice_"."""
    return [column.removeprefix(prefix) for column in row if column.startswith(prefix)]


def probabilities(rows: Sequence[Mapping], classes: Sequence[str]) -> NDArray[np.float64]:
    """Return the class probabilities of n rows: float64 [n, K], NaN in the rows that have none."""
    columns = [f"probability_{name}" for name in classes]
    return np.array([[row[column] for column in columns] for row in rows], np.float64).reshape(-1, len(columns))


def _check(columns: list[str]) -> None:
    classes = [column.removeprefix(COUNT_PREFIX) for column in columns if column.startswith(COUNT_PREFIX)]
    class_columns = ("label", "prediction", *(f"probability_{name}" for name in classes)) if classes else ()
    if missing := [column for column in ("path", "status", *class_columns) if column not in columns]:
        raise ValueError(f"there is no column {missing[0]}")
    if len(set(columns)) < len(columns):
        raise ValueError("a column is there twice")
    for column in columns:
        known_columns = (*TEXT_COLUMNS, *FILE_TEXT_COLUMNS, *NUMBER_COLUMNS, NUM_PATCHES)
        if column not in known_columns and not column.startswith((COUNT_PREFIX, *NUMBER_PREFIXES)):
            raise ValueError(f"the column {column!r} is not known")


def _format(column: str, value: Any) -> Any:
    """Return the cell of a value: text as str, a number as itself, so that it is not taken for text."""
    if column in TEXT_COLUMNS + FILE_TEXT_COLUMNS:
        return "" if value is None else str(value)
    if _is_count(column):
        return int(value or 0)
    if column in BOX_COLUMNS and value is not None and not np.isnan(value):
        return int(value)  # also after it was read as a float
    # csv writes str() of a float32, which is its own shortest form: 0.1, not 0.10000000149011612.
    return "" if value is None or np.isnan(value) else value


def _parse(columns: list[str], cells: list[str]) -> dict:
    if len(cells) != len(columns):
        raise ValueError(f"{len(cells)} cells under {len(columns)} columns")
    row = {column: _value(column, cell) for column, cell in zip(columns, cells, strict=True)}
    if row["status"] not in STATUSES:
        raise ValueError(f"the status {row['status']!r} is none of {', '.join(STATUSES)}")
    return row


def _is_count(column: str) -> bool:
    return column.startswith(COUNT_PREFIX) or column == NUM_PATCHES


def _value(column: str, cell: str) -> str | int | float:
    if column in TEXT_COLUMNS + FILE_TEXT_COLUMNS:
        return csv_text.restore(cell)
    kind, blank, called = (int, "0", "a whole number") if _is_count(column) else (float, "nan", "a number")
    try:
        return kind(cell or blank)
    except ValueError:
        raise ValueError(f"{column} is {cell!r}, which is not {called}") from None
