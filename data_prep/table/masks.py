"""Mask files of any collection to the two kinds of mask that a prepared data set knows."""

from pathlib import Path

import cv2
import numpy as np

from data_prep.example import LUNGS, STRUCTURES
from data_prep.source import BadRow

_ASPECT_TOLERANCE = 0.02  # a mask of another size is fitted to its image if their shapes differ by less


def read_mask(path: Path, kind: str, shape: tuple[int, int]) -> tuple[np.ndarray, str]:
    """Reads the mask of one radiograph.

    Args:
        path: image file.
        kind: "structures" or "lungs"; "" to tell by its values: three or more of 0, 1, 2, 3 are structures.
        shape: (height, width) of the radiograph.

    Returns:
        uint8 [height, width] label map and its kind. A lung is what exceeds an eighth of the mask's maximum: all that
        is not 0 in a clean map, without the ringing of a JPEG.

    Raises:
        BadRow: missing, unreadable, of another shape than the image, or values that are not structures.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadRow(f"its mask {path.name}: {(error.strerror or str(error)).lower()}") from error
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if values is None:
        raise BadRow(f"its mask {path.name} is not a readable image")
    if values.ndim == 3:
        values = values[..., :3].max(-1)
    present = np.unique(values)
    labels = present.max() <= 3
    if not kind:
        kind = STRUCTURES if labels and len(present) > 2 else LUNGS
    if kind == STRUCTURES and not labels:
        raise BadRow(f"its mask {path.name} holds the value {present.max()}, where structures are 0 to 3")
    if kind == LUNGS:
        values = values > present.max() // 8
    return _fit(values.astype(np.uint8), shape, path.name), kind


def _fit(mask: np.ndarray, shape: tuple[int, int], name: str) -> np.ndarray:
    if mask.shape == shape:
        return mask
    height, width = shape
    aspect = (mask.shape[1] / mask.shape[0]) / (width / height)
    if not 1 - _ASPECT_TOLERANCE < aspect < 1 + _ASPECT_TOLERANCE:
        sizes = f"{mask.shape[1]} x {mask.shape[0]} pixels, the image {width} x {height}"
        raise BadRow(f"its mask {name} has another shape: {sizes}")
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
