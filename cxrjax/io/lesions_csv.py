"""Known lesions as a table: a CSV file whose rows are masks (path, mask) or boxes (path, row, column, height, width).

`path` is the radiograph's, as in its data set; a radiograph may have several rows. A mask is a picture, not 0 in
lesions, of the radiograph's own height and width, its path relative to the table; a box is in pixels of the
radiograph's file, from its upper left corner.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cxrjax.io import csv_text, reader
from cxrjax.io.errors import UnreadableRadiograph

Box = tuple[int, int, int, int]  # row, column, height, width
BOX = ("row", "column", "height", "width")


def read(table: Path) -> dict[str, list[Path | Box]]:
    """The lesions of each radiograph that a table names.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not such a table; names the file, the line and what is wrong.
    """
    lesions: dict[str, list[Path | Box]] = {}
    with open(table, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = csv.DictReader(file)
        try:
            columns = set(rows.fieldnames or [])
            if "path" not in columns or not (columns >= {"mask"} or columns >= set(BOX)):
                raise ValueError(f"{table}: it needs the columns path and mask, or path and {', '.join(BOX)}")
            for row in rows:
                path = csv_text.restore(row["path"] or "")
                lesions.setdefault(path, []).append(_parse(row, f"{table}: line {rows.line_num}", table.parent))
        except csv.Error as error:
            raise ValueError(f"{table}: line {rows.line_num + 1}: is not of a CSV file: {error}") from None
    return lesions


def rasterize(lesions: Sequence[Path | Box], shape: tuple[int, int], path: str) -> np.ndarray:
    """The lesions of a radiograph in its own pixels: bool [H, W].

    Args:
        lesions: of `read`.
        shape: height and width of the radiograph.
        path: its name, for errors.

    Raises:
        ValueError: a box or a mask does not lie on the radiograph, or a mask is no picture.
    """
    drawn = np.zeros(shape, bool)
    for lesion in lesions:
        if isinstance(lesion, Path):
            drawn |= _read_mask(lesion, shape, path)
            continue
        row, column, height, width = lesion
        if row + height > shape[0] or column + width > shape[1]:
            raise ValueError(f"{path}: the box {lesion} does not lie on its {shape[0]} rows and {shape[1]} columns")
        drawn[row : row + height, column : column + width] = True
    return drawn


def _parse(row: dict[str, str], line: str, folder: Path) -> Path | Box:
    if row.get("mask"):
        return folder / csv_text.restore(row["mask"])
    cells = [row.get(name) or "" for name in BOX]
    try:
        box = tuple(int(cell) for cell in cells)
    except ValueError:
        raise ValueError(f"{line}: its box is {', '.join(map(repr, cells))}, not four whole numbers") from None
    if min(box[:2]) < 0 or min(box[2:]) < 1:
        raise ValueError(f"{line}: the box {box} has no place or no size")
    return box


def _read_mask(mask: Path, shape: tuple[int, int], path: str) -> np.ndarray:
    try:
        picture = reader.shared().read_values(mask)
    except UnreadableRadiograph as error:
        raise ValueError(f"{mask}: it is no picture that can be read: {error.reason}") from error
    if picture.ndim == 3:
        picture = picture[..., :3].max(-1)
    if picture.shape != shape:
        raise ValueError(f"{mask}: a mask of {picture.shape} does not lie over the radiograph {path} of {shape}")
    return picture > 0
