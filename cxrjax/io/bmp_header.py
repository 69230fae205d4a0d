"""Header of a Windows bitmap (BMP), read without decoding."""

from cxrjax.io.errors import ImageDecodeError
from cxrjax.io.header import Header, check_size
from cxrjax.io.limits import Limits

_CORE_SIZE = 12  # bytes of the oldest header, whose sides have 16 bits
_INFO_SIZES = (40, 52, 56, 64, 108, 124)
_DEPTHS = (1, 4, 8, 16, 24, 32)  # bits per pixel
_UNCOMPRESSED = (0, 3, 6)  # without and with masks of the bits of each color


def is_bmp(data: bytes) -> bool:
    """Return whether a file begins as a BMP does; two letters alone might begin any text."""
    return data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in (_CORE_SIZE, *_INFO_SIZES)


def inspect(data: bytes, limits: Limits) -> Header:
    """Read the header, and check that all pixels are there.

    Raises:
        ImageDecodeError: truncated, compressed, or beyond the limits.
    """
    start = int.from_bytes(data[10:14], "little")
    is_core = int.from_bytes(data[14:18], "little") == _CORE_SIZE
    if len(data) < (26 if is_core else 54):
        raise ImageDecodeError("truncated or damaged BMP file")
    side = 2 if is_core else 4
    width = int.from_bytes(data[18 : 18 + side], "little", signed=not is_core)
    height = abs(int.from_bytes(data[18 + side : 18 + 2 * side], "little", signed=not is_core))  # below 0: from the top
    depth_at = 18 + 2 * side + 2
    depth = int.from_bytes(data[depth_at : depth_at + 2], "little")
    compression = 0 if is_core else int.from_bytes(data[30:34], "little")
    check_size(width, height, limits, "BMP")
    if compression not in _UNCOMPRESSED:
        raise ImageDecodeError("a compressed BMP, which is not read")
    if depth not in _DEPTHS or start + (width * depth + 31) // 32 * 4 * height > len(data):
        raise ImageDecodeError("truncated or damaged BMP file")
    return Header(width, height)
