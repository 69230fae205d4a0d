"""Mask files of any collection to the two kinds of mask that a prepared data set knows."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from cxrjax.io import reader
from cxrjax.io.errors import ImageReadError
from data_prep.example import LUNGS, STRUCTURES
from data_prep.record import HEART, LABEL_MAP, LEFT_LUNG, RIGHT_LUNG, RecordError

_ASPECT_TOLERANCE = 0.02  # a mask of another size is fitted to its image if their shapes differ by less
_VALUES = {HEART: 1, LEFT_LUNG: 2, RIGHT_LUNG: 3}  # of a label map of structures


def read_masks(files: Mapping[str, Path], kind: str, shape: tuple[int, int]) -> tuple[np.ndarray, str]:
    """Reads the mask of one radiograph, which may lie in several files.

    Args:
        files: by what each shows: a MAP alone; HEART, LEFT and RIGHT; or lungs in one or two files, which are united.
        kind: of a MAP, see `read_map`.
        shape: (height, width) of the radiograph.

    Returns:
        uint8 [height, width] label map and its kind.

    Raises:
        RecordError: see `read_map`.
    """
    if set(files) == {LABEL_MAP}:
        return read_map(files[LABEL_MAP], kind, shape)
    parts = {name: read_map(path, LUNGS, shape)[0] for name, path in files.items()}
    if parts.keys() >= _VALUES.keys():
        labels = np.zeros(shape, np.uint8)
        for name, value in _VALUES.items():  # the heart first: where a lung overlaps it, it is lung
            labels[parts[name] > 0] = value
        return labels, STRUCTURES
    lungs = [mask for name, mask in parts.items() if name != HEART]
    return np.maximum.reduce(lungs), LUNGS


def read_map(path: Path, kind: str, shape: tuple[int, int]) -> tuple[np.ndarray, str]:
    """Reads one mask file.

    Args:
        path: image file.
        kind: "structures" or "lungs"; "" to tell by its values: three or more of 0, 1, 2, 3 are structures.
        shape: (height, width) of the radiograph.

    Returns:
        uint8 [height, width] label map and its kind. A lung is what exceeds an eighth of the mask's maximum: all that
        is not 0 in a clean map, without the ringing of a JPEG.

    Raises:
        RecordError: missing, unreadable, of another shape than the image, or values that are not structures.
    """
    try:
        values = reader.shared().read_values(path)
    except ImageReadError as error:
        raise RecordError(f"its mask {path.name}: {error.reason}") from error
    if values.dtype.kind not in "bu":
        raise RecordError(f"its mask {path.name} holds {values.dtype} values, where whole numbers from 0 are needed")
    if values.ndim == 3:
        values = values[..., :3].max(-1)
    present = np.unique(values)
    labels = present.max() <= 3
    if not kind:
        kind = STRUCTURES if labels and len(present) > 2 else LUNGS
    if kind == STRUCTURES and not labels:
        raise RecordError(f"its mask {path.name} holds the value {present.max()}, where structures are 0 to 3")
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
        raise RecordError(f"its mask {name} has another shape: {sizes}")
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
