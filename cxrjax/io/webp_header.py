"""Header of a WebP file (RFC 9649), read by walking its chunks without decoding."""

from cxrjax.io.errors import ImageDecodeError
from cxrjax.io.header import Header, check_size, read_orientation
from cxrjax.io.limits import Limits

_MAX_CHUNKS = 10_000
_ANIMATED = 0x02  # flag of the extended format
_LOSSY_START = b"\x9d\x01\x2a"
_LOSSLESS_START = 0x2F


def is_webp(data: bytes) -> bool:
    """Return whether a file begins as a WebP does."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def inspect(data: bytes, limits: Limits) -> Header:
    """Read the header, and check that all chunks are complete.

    A lossless image of a single color takes a few bytes at any size, so that only the limits bound its pixels.

    Raises:
        ImageDecodeError: truncated, damaged, animated, or beyond the limits.
    """
    damaged = ImageDecodeError("truncated or damaged WebP file")
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise damaged
    size = None
    orientation = 1
    start = 12
    for _ in range(_MAX_CHUNKS):
        if start >= end:
            break
        kind = data[start : start + 4]
        length = int.from_bytes(data[start + 4 : start + 8], "little")
        content = data[start + 8 : start + 8 + length]
        if start + 8 + length > end:
            raise damaged
        if kind in (b"ANIM", b"ANMF") or (kind == b"VP8X" and content[:1] and content[0] & _ANIMATED):
            raise ImageDecodeError("an animated WebP, not one radiograph")
        if kind == b"EXIF":
            orientation = read_orientation(content)
        if kind in (b"VP8 ", b"VP8L"):
            if size is not None:
                raise damaged
            size = _read_lossy_size(content) if kind == b"VP8 " else _read_lossless_size(content)
        start += 8 + length + length % 2
    else:
        raise damaged
    if size is None:
        raise damaged
    check_size(*size, limits, "WebP")
    return Header(*size, orientation)


def _read_lossy_size(content: bytes) -> tuple[int, int]:
    if content[3:6] != _LOSSY_START or len(content) < 10:
        raise ImageDecodeError("truncated or damaged WebP file")
    width = int.from_bytes(content[6:8], "little") & 0x3FFF  # the other two bits are a scale for display
    height = int.from_bytes(content[8:10], "little") & 0x3FFF
    return width, height


def _read_lossless_size(content: bytes) -> tuple[int, int]:
    if len(content) < 5 or content[0] != _LOSSLESS_START:
        raise ImageDecodeError("truncated or damaged WebP file")
    bits = int.from_bytes(content[1:5], "little")
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
