"""The bytes of one file to a radiograph: a pure function, which `reader` runs in a process that may die of it."""

import logging
from pathlib import Path

import cv2
import numpy as np

from cxrjax.io import dicom, images
from cxrjax.io.dicom_header import is_dicom, may_be_bare_dicom
from cxrjax.io.errors import UnreadableImage, UnreadableRadiograph
from cxrjax.io.header import check_bytes
from cxrjax.io.limits import Limits, current
from cxrjax.io.types import Radiograph

# Its warnings quote what the file says, a patient's name among it.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

SMALLEST_SIDE = 32  # px; below this lie icons and thumbnails
JSRT_SHAPE = (2048, 2048)  # px (Shiraishi et al. 2000)
JSRT_SPACING = (0.175, 0.175)  # mm
JSRT_BYTES = JSRT_SHAPE[0] * JSRT_SHAPE[1] * 2


def decode(data: bytes, name: str, limits: Limits | None = None) -> Radiograph:
    """Decode the bytes of one file.

    Args:
        data: the whole file.
        name: its path, or what to call it.
        limits: None for those of this process.

    Raises:
        UnreadableRadiograph: not an image of a kind that is read, damaged, several frames, beyond the limits, too
            small, or of one value. The reason holds nothing of the file.
        MemoryError: decoding takes more memory than there is.
    """
    try:
        radiograph = _decode_by_content(data, name, limits or current())
        _check_pixels(radiograph.pixels)
    except UnreadableImage as error:
        raise UnreadableRadiograph(name, error.reason) from error
    except (UnreadableRadiograph, MemoryError):
        raise
    except cv2.error as error:
        if error.code == images.OUT_OF_MEMORY:
            raise MemoryError from error
        raise UnreadableRadiograph(name, "damaged: it cannot be decoded") from error
    except Exception as error:  # decoders raise whatever they like on damaged files
        raise UnreadableRadiograph(name, "damaged: it cannot be decoded") from error
    return radiograph


def _check_pixels(pixels: np.ndarray) -> None:
    height, width = pixels.shape
    if min(height, width) < SMALLEST_SIDE:
        raise UnreadableImage(f"too small: {width} x {height} pixels, {SMALLEST_SIDE} a side needed")
    if pixels.min() == pixels.max():
        raise UnreadableImage("blank: every pixel is the same")


def _decode_by_content(data: bytes, name: str, limits: Limits) -> Radiograph:
    check_bytes(len(data), limits)
    if not data:
        raise UnreadableImage("empty file")
    if is_dicom(data):
        return dicom.decode(data, name, limits)
    if kind := images.name_kind(data):
        pixels, inverted = images.decode_gray(data, limits)
        return Radiograph(pixels, name, kind.lower(), inverted=inverted)
    if Path(name).suffix.lower() == ".img":
        return _decode_jsrt(data, name)
    if may_be_bare_dicom(data):
        return dicom.decode(data, name, limits)
    known = "(PNG, JPEG, TIFF, DICOM or JSRT .IMG)"
    if other := images.name_other_kind(data):
        raise UnreadableImage(f"{other}, not an image of a known kind {known}")
    raise UnreadableImage(f"not an image of a known kind {known}")


def _decode_jsrt(data: bytes, name: str) -> Radiograph:
    if len(data) != JSRT_BYTES:
        raise UnreadableImage(f"not a JSRT image, or truncated: {len(data)} bytes instead of {JSRT_BYTES}")
    pixels = np.frombuffer(data, ">u2").reshape(JSRT_SHAPE).astype(np.uint16)
    return Radiograph(pixels, name, "jsrt", inverted=True, spacing=JSRT_SPACING)
