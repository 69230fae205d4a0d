"""Boxes and areas of the lungs in pixels and mm of the file, and the cardiothoracic ratio, from a label map (NumPy)."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cxrjax.inference import rows
from cxrjax.io import predictions_csv
from cxrjax.io.crop import Frame
from cxrjax.ops import lung_masks

_LUNGS = dict(zip(predictions_csv.LUNGS, lung_masks.LUNGS, strict=True))


def measure_geometry(
    label_map: NDArray[np.uint8], frame: Frame, spacing: tuple[float, float] | None
) -> dict[str, float]:
    """Measure the lungs and the heart of one radiograph in its file.

    The numbers are exactly those of the label map at the size of the file, `frame.restore(label_map)`, which is not
    made: each line of the square counts as often as it occurs in the file.

    Args:
        label_map: uint8 [S, S], labels of `lung_masks.STRUCTURES`.
        frame: of the square in the file.
        spacing: (row, column) distance between pixel centers of the file in mm; None if it is unknown.

    Returns:
        Numbers by `predictions_csv.GEOMETRY_COLUMNS`, NaN where there is nothing to measure. `left_lung_row`,
        `_column`, `_height` and `_width` are the bounding box, in pixels, of the largest connected part of the
        patient's left lung; the first row and the first column are 0. Areas are of all pixels of a lung; they need the
        spacing. `cardiothoracic_ratio` is that of the function of this name.
    """
    values = dict.fromkeys(predictions_csv.GEOMETRY_COLUMNS, float("nan"))
    row_counts, column_counts = frame.line_counts(len(label_map))
    labels = label_map[np.ix_(row_counts > 0, column_counts > 0)]
    row_counts = row_counts[row_counts > 0]
    column_counts = column_counts[column_counts > 0]
    row_edges = frame.crop.top + np.append(0, row_counts.cumsum())
    column_edges = frame.crop.left + np.append(0, column_counts.cumsum())

    areas = {}
    for lung, label in _LUNGS.items():
        part = labels == label
        areas[lung] = float(row_counts @ (part.astype(np.float32) @ column_counts.astype(np.float32)))
        if areas[lung]:
            lines, columns = _largest_part(part)
            values[f"{lung}_row"] = int(row_edges[lines.start])
            values[f"{lung}_column"] = int(column_edges[columns.start])
            values[f"{lung}_height"] = int(row_edges[lines.stop] - row_edges[lines.start])
            values[f"{lung}_width"] = int(column_edges[columns.stop] - column_edges[columns.start])
    if not any(areas.values()):
        return values
    if spacing is not None:
        pixel = spacing[0] * spacing[1]
        areas["lung"] = sum(areas.values())
        values |= {f"{lung}_area_mm2": rows.to_float(np.float32(area * pixel)) for lung, area in areas.items()}
    values["cardiothoracic_ratio"] = cardiothoracic_ratio(labels, column_edges)
    return values


def cardiothoracic_ratio(label_map: NDArray[np.uint8], column_edges: NDArray[np.integer] | None = None) -> float:
    """Return the cardiothoracic ratio of one radiograph.

    It is the greatest transverse diameter of the heart, from its rightmost to its leftmost point, over the greatest
    inner diameter of the thorax, from the outer border of one lung to that of the other in one row (Danzer 1919). It
    does not depend on the pixel spacing. An AP view, a supine patient and a shallow breath enlarge it, and the limit of
    0.5 holds for PA views of adults only.

    Args:
        label_map: uint8 [H, W], labels of `lung_masks.STRUCTURES`. Of the heart, the largest connected part counts.
        column_edges: int [W + 1], borders of its columns in pixels of the file; None for columns of equal width.

    Returns:
        The ratio; NaN without the heart or one of the lungs.
    """
    heart = label_map == lung_masks.STRUCTURES.index("heart")
    if not heart.any() or not all((label_map == label).any() for label in lung_masks.LUNGS):
        return float("nan")
    edges = np.arange(label_map.shape[1] + 1) if column_edges is None else column_edges
    _, columns = _largest_part(heart)
    diameter = edges[columns.stop] - edges[columns.start]
    return rows.to_float(np.float32(diameter / _thorax_width(label_map, edges)))


def _largest_part(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the rows and the columns of the largest 8-connected part of a mask that is not empty."""
    pixels = mask.view(np.uint8)
    left, top, width, height = cv2.boundingRect(pixels)  # components are searched for inside it, which is faster
    inside = pixels[top : top + height, left : left + width]
    _, _, statistics, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    parts: Any = statistics[1:]  # without the background
    largest = parts[parts[:, cv2.CC_STAT_AREA].argmax()]
    top += int(largest[cv2.CC_STAT_TOP])
    left += int(largest[cv2.CC_STAT_LEFT])
    width = int(largest[cv2.CC_STAT_WIDTH])
    height = int(largest[cv2.CC_STAT_HEIGHT])
    return slice(top, top + height), slice(left, left + width)


def _thorax_width(labels: NDArray[np.uint8], column_edges: NDArray[np.integer]) -> int:
    """Return the greatest distance, in one row, from the outer border of one lung to that of the other, in pixels."""
    lungs = labels >= min(lung_masks.LUNGS)
    lungs = lungs[lungs.any(1)]
    starts = lungs.argmax(1)
    stops = lungs.shape[1] - lungs[:, ::-1].argmax(1)
    return int((column_edges[stops] - column_edges[starts]).max())
