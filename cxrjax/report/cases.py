"""Radiographs of a split, worst first, with images small enough for a web page."""

import base64
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cxrjax import plotting
from cxrjax.data import batch, dataset
from cxrjax.inference.predictor import Predictor, predict_stored
from cxrjax.io import predictions_csv
from cxrjax.io.crop import Frame
from cxrjax.metrics import finding_arrays
from cxrjax.ops import lung_masks

QUALITY = 75  # of WebP, 0..100
THUMBNAIL_SIDE = 96  # pixels; it is visible at two thirds of that
MAP_SIDE = 96  # pixels; a map is smooth
OUTLINE_TOLERANCE = 0.002  # maximal distance of an outline from its mask, as a share of the side


class CaseImages(NamedTuple):
    """Images of one radiograph on a page, squares to be stretched; outlines are SVG paths in a square of side 100."""

    radiograph: str  # data URI
    lungs: str  # outline of the predicted lung mask; "" where it is empty
    true_lungs: str  # of a segmenter, outline of the true lung mask; "" where there is none
    saliency: str  # data URI, to be drawn at `plotting.OPACITY`; "" without a prediction
    thumbnail: str  # data URI, of the radiograph alone
    aspect: float = 1.0  # height of the radiograph as a share of its width

    @property
    def num_bytes(self) -> int:
        """Number of bytes that the images add to a page."""
        return sum(len(part) for part in self if isinstance(part, str))


class CaseView(NamedTuple):
    """A row of `predictions.csv` with its images; without, once the space of the page is used up."""

    row: dict[str, Any]
    images: CaseImages | None
    number: int  # of the case on the page, from 1
    example: int | None = None  # its place on the first screen

    @property
    def num_votes(self) -> int:
        """Number of patches that voted, for any class."""
        if self.has_findings:
            return self.row[predictions_csv.NUM_PATCHES]
        return sum(
            self.row[f"votes_{name}"] for name in predictions_csv.class_names(self.row, predictions_csv.COUNT_PREFIX)
        )

    @property
    def is_undecided(self) -> bool:
        """True if the confidence is too low to be relied on, see `cxrjax.runs.calibration`."""
        return self.row.get("decision") == predictions_csv.UNDECIDED

    @property
    def is_wrong(self) -> bool:
        """True if the prediction, or its absence, differs from the label; False for a segmenter."""
        return is_wrong(self.row)

    @property
    def has_findings(self) -> bool:
        """True for several findings per radiograph."""
        return predictions_csv.has_findings(self.row)

    @property
    def errors(self) -> list[str]:
        """Findings that are wrongly predicted, or not predicted, the worst first."""
        return finding_arrays.list_errors(self.row)

    @property
    def map_label(self) -> str:
        """The class or finding that the saliency map shows: the prediction, or the most probable finding."""
        return self.by_probability[0] if self.has_findings else self.row["prediction"]

    @property
    def by_probability(self) -> list[str]:
        """The classes or findings, the most probable first."""
        names = predictions_csv.class_names(self.row, predictions_csv.COUNT_PREFIX)
        return sorted(names, key=lambda name: -np.nan_to_num(self.row[f"probability_{name}"]))


def is_wrong(row: Mapping[str, Any]) -> bool:
    """Return whether a prediction is wrong; of several findings, whether that of a finding is whose truth is known."""
    if predictions_csv.has_findings(row):
        return bool(finding_arrays.list_errors(row))
    return "prediction" in row and row["prediction"] != row["label"]


def sort_worst_first(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows sorted worst first.

    For a classifier: the wrong predictions, most confident first (a missing prediction is wrong, with confidence 0),
    then the correct ones, least confident first. For several findings: those with the largest error of a finding first,
    the distance of its probability from its truth. For a segmenter: by the Dice of the lungs, failures first, rows
    without a true mask last.
    """
    return sorted(rows, key=_sort_key)


def render_cases(
    predictor: Predictor,
    stored: dataset.RadiographDataset,
    worst_first: Sequence[dict[str, Any]],
    *,
    examples: Sequence[dict[str, Any]] = (),
    side: int,
    megabytes: float,
) -> list[CaseView]:
    """Return views of rows in their order, with images of the examples first, and of others until space is used up.

    Args:
        predictor: predictor of the run.
        stored: the split that was evaluated; it is read in batches, and only until the space is used up.
        worst_first: n of its predictions.
        examples: those on the first screen; the ones that are not among `worst_first` come last in the result.
        side: side of an image in pixels.
        megabytes: space for all images, in millions of bytes of the page.

    Raises:
        ValueError: a row is not of this split.
    """
    rows = [*examples, *(row for row in worst_first if not _is_in(row, examples))]
    positions = _find_rows(stored, rows)
    results = predict_stored(predictor, stored, positions)
    images: list[CaseImages] = []
    remaining = megabytes * 1e6
    for row, position, (chunk, i, result) in zip(rows, positions, results, strict=True):
        row_images = _render_case(predictor, row, (chunk, i, result), stored.frame(position), side)
        remaining -= row_images.num_bytes
        if remaining < 0 and len(images) >= len(examples):
            break
        images.append(row_images)
    rendered = {
        id(row): (row_images, place) for row, row_images, place in zip_longest(rows, images, range(len(examples)))
    }
    listed = [*worst_first, *(row for row in examples if not _is_in(row, worst_first))]
    return [
        CaseView(row, images=rendered[id(row)][0], number=number, example=rendered[id(row)][1])
        for number, row in enumerate(listed, 1)
    ]


def _is_in(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether one of the rows is this very row; two radiographs may have equal rows."""
    return any(row is other for other in rows)


def _render_case(
    predictor: Predictor,
    row: Mapping[str, Any],
    case: tuple[batch.RadiographBatch, int, Any],
    frame: Frame,
    side: int,
) -> CaseImages:
    """Return the images of one radiograph.

    Args:
        predictor: predictor of the run.
        row: its row of predictions.csv.
        case: batch, row in the batch and result of `predict_stored`.
        frame: of its square in the file.
        side: side of an image in pixels.
    """
    examples, i, result = case
    saliency = predictor.saliency(result)
    visible = saliency if row.get("prediction") else None
    return CaseImages(
        radiograph=_webp_uri(_shrink(examples.images[i], side)),
        lungs=svg_path(result.lung_mask),
        true_lungs=svg_path(_true_lungs(examples, i)) if saliency is None else "",
        saliency=_webp_uri(plotting.color_layer(_shrink(visible, MAP_SIDE))) if visible is not None else "",
        thumbnail=_webp_uri(_shrink(examples.images[i], THUMBNAIL_SIDE)),
        aspect=frame.inner_height / frame.inner_width,
    )


def svg_path(mask: NDArray[np.bool_]) -> str:
    """Return the outline of a square mask, holes included, as an SVG path in a square of side 100; "" if empty."""
    return plotting.outline_path(mask, Frame(height=100, width=100), OUTLINE_TOLERANCE)


def _find_rows(stored: dataset.RadiographDataset, rows: Sequence[dict[str, Any]]) -> list[int]:
    """Return the positions of rows in the stored split, matched by path, and by source where paths are equal.

    Raises:
        ValueError: a row is not of this split.
    """
    positions_by_path: dict[str, list[int]] = {}
    for position, path in enumerate(stored.paths):
        positions_by_path.setdefault(path, []).append(position)
    positions = []
    for row in rows:
        matches = positions_by_path.get(row["path"], [])
        if len(matches) > 1:
            matches = [position for position in matches if stored.sources[position] == row.get("source")]
        if len(matches) != 1:
            raise ValueError(
                f"{row['path']}: was evaluated, but is not in this data set; name the one it is in with --dataset"
            )
        positions += matches
    return positions


def _sort_key(row: dict[str, Any]) -> float:
    if "prediction" not in row:
        if row["status"] != predictions_csv.OK:
            return -1.0
        return np.nan_to_num(row["dice_lungs"], nan=np.inf)
    if predictions_csv.has_findings(row):
        return -max([finding_arrays.error(row, name) for name in _known_findings(row)], default=0.0)
    confidence = float(np.nan_to_num(row["confidence"]))
    return -1 - confidence if row["prediction"] != row["label"] else confidence


def _known_findings(row: Mapping[str, Any]) -> list[str]:
    """Return the findings with a known truth."""
    names = predictions_csv.class_names(row, predictions_csv.TARGET_PREFIX)
    return [name for name in names if row[predictions_csv.TARGET_PREFIX + name] >= 0]


def _true_lungs(examples: batch.RadiographBatch, i: int) -> NDArray[np.bool_]:
    """Return the true lung mask of a radiograph, empty where it is not known."""
    if examples.mask_types[i] == batch.STRUCTURES_KNOWN:
        return np.isin(examples.masks[i], lung_masks.LUNGS)
    return examples.masks[i] > 0


def _shrink(image: NDArray, side: int) -> NDArray:
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) if len(image) > side else image


def _webp_uri(image: NDArray[np.uint8]) -> str:
    _, encoded = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    return "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode()
