"""Decoding of the bytes of one file to a radiograph: a pure function, which `reader` runs in a separate process."""

import logging
from pathlib import Path

import cv2
import numpy as np

from cxrjax.io import dicom, images, numpy_file
from cxrjax.io.dicom_header import is_dicom, may_be_bare_dicom
from cxrjax.io.errors import ImageDecodeError, ImageReadError
from cxrjax.io.header import check_bytes
from cxrjax.io.limits import Limits, current
from cxrjax.io.types import Radiograph

# Its warnings quote the file, including patients' names.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

SMALLEST_SIDE = 32  # px; smaller images are icons and thumbnails
JSRT_SHAPE = (2048, 2048)  # px (Shiraishi et al. 2000)
JSRT_SPACING = (0.175, 0.175)  # mm
JSRT_BYTES = JSRT_SHAPE[0] * JSRT_SHAPE[1] * 2


def decode(
    data: bytes, name: str, limits: Limits | None = None, value_range: tuple[float, float] | None = None
) -> Radiograph:
    """Decode the bytes of one file.

    Args:
        data: content of the file.
        name: its path, or a name for messages.
        limits: limits of the file; those of this process if None.
        value_range: least and greatest value of a NumPy file; see `numpy_file.decode`.

    Raises:
        ImageReadError: unsupported format, damaged, several frames, beyond the limits, too small, or a constant image.
            The reason does not quote the file.
        MemoryError: decoding takes more memory than available.
    """
    try:
        radiograph = _decode_by_content(data, name, limits or current(), value_range)
        _check_pixels(radiograph.pixels)
    except ImageDecodeError as error:
        raise ImageReadError(name, error.reason) from error
    except (ImageReadError, MemoryError):
        raise
    except cv2.error as error:
        if error.code == images.OUT_OF_MEMORY:
            raise MemoryError from error
        raise ImageReadError(name, "damaged: it cannot be decoded") from error
    except Exception as error:  # decoders raise arbitrary exceptions on damaged files
        raise ImageReadError(name, "damaged: it cannot be decoded") from error
    return radiograph


def _check_pixels(pixels: np.ndarray) -> None:
    height, width = pixels.shape
    if min(height, width) < SMALLEST_SIDE:
        raise ImageDecodeError(f"too small: {width} x {height} pixels, at least {SMALLEST_SIDE} per side are needed")
    if pixels.min() == pixels.max():
        raise ImageDecodeError("blank: every pixel is the same")


def _decode_by_content(data: bytes, name: str, limits: Limits, value_range: tuple[float, float] | None) -> Radiograph:
    check_bytes(len(data), limits)
    if not data:
        raise ImageDecodeError("empty file")
    if is_dicom(data):
        return dicom.decode(data, name, limits)
    if file_format := images.detect_format(data):
        pixels, inverted = images.decode_gray(data, limits)
        return Radiograph(pixels, name, file_format.lower(), inverted=inverted)
    if data.startswith(numpy_file.MAGIC):
        return Radiograph(numpy_file.decode(data, limits, value_range), name, "npy")
    if Path(name).suffix.lower() == ".img":
        return _decode_jsrt(data, name)
    if may_be_bare_dicom(data):
        return dicom.decode(data, name, limits)
    supported = "(PNG, JPEG, TIFF, WebP, BMP, DICOM, NumPy .npy or JSRT .IMG)"
    if description := images.describe_unsupported(data):
        raise ImageDecodeError(f"{description}, not an image of a supported format {supported}")
    raise ImageDecodeError(f"not an image of a supported format {supported}")


def _decode_jsrt(data: bytes, name: str) -> Radiograph:
    if len(data) != JSRT_BYTES:
        raise ImageDecodeError(f"not a JSRT image, or truncated: {len(data)} bytes instead of {JSRT_BYTES}")
    pixels = np.frombuffer(data, ">u2").reshape(JSRT_SHAPE).astype(np.uint16)
    return Radiograph(pixels, name, "jsrt", inverted=True, spacing=JSRT_SPACING)
