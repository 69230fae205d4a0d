"""Radiographs in NumPy's .npy files, whose header is checked before the array is made."""

import io
import math

import numpy as np
from numpy.lib import format as npy

from cxrjax.io import gray_levels
from cxrjax.io.errors import ImageDecodeError
from cxrjax.io.header import check_size
from cxrjax.io.limits import Limits

MAGIC = b"\x93NUMPY"
_MAX_HEADER = 10_000  # bytes
_DAMAGED = "truncated or damaged NumPy file"
_RANGE_HELP = "--value_range=LOW,HIGH, in Python value_range=(LOW, HIGH), states it"


def explain_shape(head: bytes) -> str:
    """Return why an array is no image, by the beginning of its file; "" if it may be one."""
    try:
        shape, _, dtype = _read_header(io.BytesIO(head))
    except ImageDecodeError:
        return ""  # explained when the file is read
    return "" if _image_shape(shape) and dtype.kind in "uif" else f"a NumPy array of the shape {shape}, not an image"


def decode(data: bytes, limits: Limits, value_range: tuple[float, float] | None) -> np.ndarray:
    """Decode an array of gray levels, bones bright.

    Args:
        data: content of the file.
        limits: limits of the file.
        value_range: least and greatest value that the array may have; None for the whole range of uint8 and uint16, and
            0 to 1 for floats.

    Returns:
        [H, W] uint8 or uint16, or uint16 scaled from the range of any other type.

    Raises:
        ImageDecodeError: truncated, beyond the limits, another shape or type, or values beyond the range.
    """
    file = io.BytesIO(data)
    shape, is_fortran, dtype = _read_header(file)
    if dtype.kind not in "uif":
        raise ImageDecodeError(f"a NumPy array of the type {dtype.name}, and integers or floats are needed")
    sides = _image_shape(shape)
    if sides is None:
        raise ImageDecodeError(f"a NumPy array of the shape {shape}, and one gray channel [height, width] is needed")
    check_size(sides[1], sides[0], limits, "NumPy")
    start = file.tell()
    if len(data) - start != math.prod(shape) * dtype.itemsize:
        raise ImageDecodeError(_DAMAGED)
    values = np.frombuffer(data, dtype, offset=start).reshape(shape, order="F" if is_fortran else "C")
    values = np.ascontiguousarray(values.reshape(sides), dtype.newbyteorder("="))
    if value_range is None and values.dtype in gray_levels.INTEGERS:
        return values
    is_float = dtype.kind == "f"
    if value_range is None and not is_float:
        raise ImageDecodeError(f"integers of the type {dtype.name}, whose range is not stated; {_RANGE_HELP}")
    try:
        gray_levels.check_range(values, value_range or (0, 1))
    except ValueError as error:
        if value_range is None:
            reason = f"floats that are not all from 0 to 1, and no other range is stated; {_RANGE_HELP}"
            raise ImageDecodeError(reason) from error
        raise ImageDecodeError(str(error)) from error
    return values if values.dtype in gray_levels.INTEGERS else gray_levels.scale(values, value_range or (0, 1))


def _image_shape(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Return the height and the width of one gray channel, whose axis may be the first or the last; None otherwise."""
    sides = shape
    if len(shape) == 3:
        sides = shape[1:] if shape[0] == 1 else shape[:2] if shape[2] == 1 else shape
    return (sides[0], sides[1]) if len(sides) == 2 else None


def _read_header(file: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read the shape, whether columns come first, and the type; the file is left at the first value.

    Raises:
        ImageDecodeError: the header is damaged.
    """
    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        return read(file, max_header_size=_MAX_HEADER)
    except Exception as error:  # the header is Python source, which fails in many ways
        raise ImageDecodeError(_DAMAGED) from error
