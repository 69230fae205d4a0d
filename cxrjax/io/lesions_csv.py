"""Tables of known lesions: CSV files of masks (path, mask) or boxes (path, row, column, height, width).

`path` is the path of the radiograph in its data set; a radiograph may have several rows. A mask is an image, nonzero in
lesions, with the height and width of the radiograph; its path is relative to the table. A box is in pixels of the
radiograph's file, from its upper left corner.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cxrjax.io import csv_text, reader
from cxrjax.io.errors import ImageReadError

Box = tuple[int, int, int, int]  # row, column, height, width
BOX_COLUMNS = ("row", "column", "height", "width")


def read(table: Path) -> dict[str, list[Path | Box]]:
    """Read a table of lesions.

    Returns:
        Path of each radiograph -> its masks and boxes.

    Raises:
        OSError: the table cannot be read.
        ValueError: it is not such a table; the message names the file, the line and the problem.
    """
    lesions: dict[str, list[Path | Box]] = {}
    with open(table, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = csv.DictReader(file)
        try:
            columns = set(rows.fieldnames or [])
            if "path" not in columns or not (columns >= {"mask"} or columns >= set(BOX_COLUMNS)):
                raise ValueError(f"{table}: it needs the columns path and mask, or path and {', '.join(BOX_COLUMNS)}")
            for row in rows:
                path = csv_text.restore(row["path"] or "")
                lesions.setdefault(path, []).append(_parse(row, f"{table}: line {rows.line_num}", table.parent))
        except csv.Error as error:
            raise ValueError(f"{table}: line {rows.line_num + 1}: is not a line of a CSV file: {error}") from None
    return lesions


def rasterize(lesions: Sequence[Path | Box], shape: tuple[int, int], path: str) -> np.ndarray:
    """Draw the lesions of a radiograph as a mask, bool [H, W].

    Args:
        lesions: masks and boxes, from `read`.
        shape: height and width of the radiograph.
        path: path of the radiograph, for errors.

    Raises:
        ValueError: a box or a mask does not fit the radiograph, or a mask is not an image.
    """
    lesion_mask = np.zeros(shape, bool)
    for lesion in lesions:
        if isinstance(lesion, Path):
            lesion_mask |= _read_mask(lesion, shape, path)
            continue
        row, column, height, width = lesion
        if row + height > shape[0] or column + width > shape[1]:
            raise ValueError(f"{path}: the box {lesion} exceeds its {shape[0]} rows and {shape[1]} columns")
        lesion_mask[row : row + height, column : column + width] = True
    return lesion_mask


def _parse(row: dict[str, str], line: str, folder: Path) -> Path | Box:
    if row.get("mask"):
        return folder / csv_text.restore(row["mask"])
    cells = [row.get(name) or "" for name in BOX_COLUMNS]
    try:
        row_start, column_start, height, width = map(int, cells)
    except ValueError:
        raise ValueError(f"{line}: its box is {', '.join(map(repr, cells))}, not four whole numbers") from None
    box = (row_start, column_start, height, width)
    if min(box[:2]) < 0 or min(box[2:]) < 1:
        raise ValueError(f"{line}: the box {box} has a negative position or no size")
    return box


def _read_mask(mask: Path, shape: tuple[int, int], path: str) -> np.ndarray:
    try:
        values = reader.shared().read_values(mask)
    except ImageReadError as error:
        raise ValueError(f"{mask}: not a readable image: {error.reason}") from error
    if values.ndim == 3:
        values = values[..., :3].max(-1)
    if values.shape != shape:
        raise ValueError(f"{mask}: a mask of {values.shape} does not fit the radiograph {path} of {shape}")
    return values > 0
