"""Radiograph as it is read from a file."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Radiograph:
    """One radiograph, with the pixels and the metadata of its file.

    Attributes:
        pixels: [H, W] uint8 or uint16, native depth, upright if the file has the orientation.
        path: path of the file.
        format: "png", "jpeg", "tiff", "webp", "bmp", "dicom", "npy" or "jsrt"; "array" of an array.
        inverted: values rise with exposure, so that dense anatomy is dark: JSRT .IMG, MONOCHROME1, some TIFF.
        spacing: (row, column) distance between pixel centers in mm; None where the file does not say.
        view: "PA", "AP", another defined term of DICOM's ViewPosition, "LATERAL" or "OBLIQUE"; "" if it is not known.
        note: what was repaired or is contradictory in the header, in sentences; "" if nothing.
        not_frontal: why the header says that this is no frontal radiograph of the chest; "" if it does not say so.
    """

    pixels: np.ndarray
    path: str
    format: str
    inverted: bool = False
    spacing: tuple[float, float] | None = None
    view: str = ""
    note: str = ""
    not_frontal: str = ""
