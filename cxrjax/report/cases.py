"""The radiographs of a split, worst first, and their pictures, small enough for a page."""

import base64
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cxrjax import plotting
from cxrjax.data import batch, dataset
from cxrjax.inference.predictor import Predictor, predict_stored
from cxrjax.io import predictions_csv
from cxrjax.ops import lung_masks

QUALITY = 75  # of WebP, 0..100
MAP_SIDE = 96  # pixels; a map is smooth
ROUGHNESS = 0.002  # of the side, how far an outline may leave its mask


class CaseImages(NamedTuple):
    """One radiograph for a page; outlines are SVG paths in a square of side 100."""

    radiograph: str  # data URI
    lungs: str  # outline of the lungs found; "" where none were
    truth: str  # of a segmentation, outline of the lungs as known; "" where they are not
    map: str  # data URI, transparent where nothing was seen; "" where there is no finding

    @property
    def size(self) -> int:
        """Bytes it adds to a page."""
        return sum(map(len, self))


class CaseView(NamedTuple):
    """A row of `predictions.csv`, with its picture where there was room for one."""

    row: dict[str, Any]
    picture: CaseImages | None

    @property
    def votes(self) -> int:
        """Patches that voted, for whatever."""
        return sum(self.row[f"votes_{name}"] for name in predictions_csv.names(self.row, predictions_csv.COUNT_PREFIX))

    @property
    def wrong(self) -> bool:
        """Whether the finding, or its lack, is not the label; never of a segmentation."""
        return "finding" in self.row and self.row["finding"] != self.row["label"]


def sort_worst_first(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows worst first.

    Of findings: the wrong, most confident first (one without a finding is wrong, and confident of nothing), then the
    right, least confident first. Of masks: by the Dice of the lungs, failures first, those without truth last.
    """
    return sorted(rows, key=_sort_key)


def render_cases(
    examiner: Predictor, stored: dataset.RadiographDataset, rows: Sequence[dict[str, Any]], side: int, megabytes: float
) -> list[CaseView]:
    """Cases of rows, in their order, pictures being drawn until the room is used up.

    Args:
        examiner: of the run.
        stored: the split that was evaluated; a part is held at a time, and none once the room is used up.
        rows: n of its predictions.
        side: of a picture, in pixels.
        megabytes: room for all pictures, in millions of bytes as they stand in the page.

    Raises:
        ValueError: a row is not of this split.
    """
    asked = predict_stored(examiner, stored, _find_rows(stored, rows))
    pictures, room = [], megabytes * 1e6
    for row, (held, i, result) in zip(rows, asked, strict=True):
        picture = _case_images(held, i, result, bool(row.get("finding")), side)
        room -= picture.size
        if room < 0:
            break
        pictures.append(picture)
    return [CaseView(row, picture) for row, picture in zip_longest(rows, pictures)]


def svg_path(mask: NDArray[np.bool_]) -> str:
    """SVG path around the parts of a square mask, holes included, in a square of side 100; "" of an empty one."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    side = len(mask)
    rings = [cv2.approxPolyDP(contour, ROUGHNESS * side, True)[:, 0] for contour in contours]
    # A contour runs through the middles of pixels.
    points = [" ".join(f"{x:.1f},{y:.1f}" for x, y in (ring + 0.5) * 100 / side) for ring in rings if len(ring) > 2]
    return " ".join(f"M{ring}Z" for ring in points)


def _find_rows(stored: dataset.RadiographDataset, rows: Sequence[dict[str, Any]]) -> list[int]:
    """Return where the radiographs of rows are stored: by their paths, and of equal paths by their sources too.

    Raises:
        ValueError: a row is not of this split.
    """
    with_path: dict[str, list[int]] = {}
    for place, path in enumerate(stored.paths):
        with_path.setdefault(path, []).append(place)
    found = []
    for row in rows:
        places = with_path.get(row["path"], [])
        if len(places) > 1:
            places = [place for place in places if stored.sources[place] == row.get("source")]
        if len(places) != 1:
            raise ValueError(
                f"{row['path']}: was evaluated, but is not in this data set; name the one it is in with --data"
            )
        found += places
    return found


def _sort_key(row: dict[str, Any]) -> float:
    if "finding" not in row:
        if row["status"] != predictions_csv.OK:
            return -1.0
        return np.nan_to_num(row["dice_lungs"], nan=np.inf)
    confidence = float(np.nan_to_num(row["confidence"]))
    return -1 - confidence if row["finding"] != row["label"] else confidence


def _case_images(held: batch.RadiographBatch, i: int, result: Any, found: bool, side: int) -> CaseImages:
    finds = hasattr(result, "map")
    lungs = result.mask if finds else result.lungs
    structures = held.mask_types[i] == batch.STRUCTURES_KNOWN
    truth = np.isin(held.masks[i], lung_masks.LUNGS) if structures else held.masks[i] > 0
    return CaseImages(
        radiograph=_webp_uri(_shrink(held.images[i], side)),
        lungs=svg_path(lungs),
        truth="" if finds else svg_path(truth),
        map=_webp_uri(_to_bgra(_shrink(result.map, MAP_SIDE))) if found else "",
    )


def _shrink(image: NDArray, side: int) -> NDArray:
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) if len(image) > side else image


def _to_bgra(map: NDArray[np.floating]) -> NDArray[np.uint8]:
    """A map as BGRA."""
    colours, opacity = plotting.tint(map)
    return np.concatenate([colours[..., ::-1], np.rint(opacity * 255).astype(np.uint8)], axis=-1)


def _webp_uri(image: NDArray[np.uint8]) -> str:
    _, encoded = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    return "data:image/webp;base64," + base64.b64encode(encoded).decode()
