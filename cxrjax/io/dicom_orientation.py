"""Orientation of a DICOM image in its raster, by PatientOrientation (PS3.3 C.7.6.1.1.1)."""

from typing import NamedTuple

import numpy as np
import pydicom

from cxrjax.io.dicom_header import texts_of

TAGS = ("PatientOrientation",)
_LEFT_RIGHT = {"L", "R"}
_FEET_HEAD = {"F", "H"}


class Turn(NamedTuple):
    """Turn from the raster of a file to the upright radiograph: transposed first, then mirrored and flipped.

    Attributes:
        transposed: whether rows and columns are exchanged.
        mirrored: whether the order of the columns is reversed.
        flipped: whether the order of the rows is reversed.
    """

    transposed: bool = False
    mirrored: bool = False
    flipped: bool = False

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """Turn an array [H, W, ...] of the file's raster upright."""
        pixels = pixels.swapaxes(0, 1) if self.transposed else pixels
        return np.ascontiguousarray(self._reverse(pixels))

    def undo(self, pixels: np.ndarray) -> np.ndarray:
        """Map an array [H, W, ...] over the upright radiograph to the file's raster."""
        pixels = self._reverse(pixels)
        return np.ascontiguousarray(pixels.swapaxes(0, 1) if self.transposed else pixels)

    def _reverse(self, pixels: np.ndarray) -> np.ndarray:
        pixels = pixels[:, ::-1] if self.mirrored else pixels
        return pixels[::-1] if self.flipped else pixels


def read_orientation(dataset: pydicom.Dataset) -> tuple[str, str] | None:
    """Return the directions of the rows and of the columns, such as ("L", "F").

    Returns:
        The main direction of each, one of L and R and one of F and H; None if the file does not say so.
    """
    orientation = [text[:1].upper() for text in texts_of(dataset, "PatientOrientation")]
    if len(orientation) != 2:
        return None
    across, down = orientation
    is_known = (across in _LEFT_RIGHT and down in _FEET_HEAD) or (across in _FEET_HEAD and down in _LEFT_RIGHT)
    return (across, down) if is_known else None


def find_turn(orientation: tuple[str, str] | None) -> Turn:
    """Return the turn after which the patient's left is at the right and the feet are at the bottom.

    Args:
        orientation: of `read_orientation`; None is taken for upright.
    """
    if orientation is None:
        return Turn()
    transposed = orientation[0] in _FEET_HEAD
    across, down = reversed(orientation) if transposed else orientation
    return Turn(transposed=transposed, mirrored=across == "R", flipped=down == "H")
