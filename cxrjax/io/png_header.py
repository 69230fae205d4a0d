"""Header of a PNG file (ISO/IEC 15948), read by walking its chunks without decoding."""

import zlib

from cxrjax.io.errors import ImageDecodeError
from cxrjax.io.header import DEFLATE_RATIO, Header, check_size, insufficient_data, read_orientation
from cxrjax.io.limits import Limits

MAGIC = b"\x89PNG\r\n\x1a\n"
_MAX_CHUNKS = 100_000
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # samples per pixel by color type
_DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}  # bits by color type
_ANIMATION = {b"acTL", b"fcTL", b"fdAT"}
_EXIF = b"eXIf"
_TRANSPARENCY = b"tRNS"  # OpenCV applies it to color and palettes, but not to gray levels


def inspect(data: bytes, limits: Limits) -> Header:
    """Read the header, and check that all chunks are complete and the checksums of those that matter are correct.

    Raises:
        ImageDecodeError: truncated, damaged, animated, or beyond the limits.
    """
    damaged = ImageDecodeError("truncated or damaged PNG file")
    header = b""
    orientation = 1
    compressed = 0
    transparency = b""
    start = len(MAGIC)
    for _ in range(_MAX_CHUNKS):
        if start + 12 > len(data):
            raise damaged
        length = int.from_bytes(data[start : start + 4], "big")
        kind = data[start + 4 : start + 8]
        end = start + 12 + length
        if end > len(data) or (not header and kind != b"IHDR"):
            raise damaged
        if kind in _ANIMATION:
            raise ImageDecodeError("an animated PNG, not one radiograph")
        critical = not kind[0] & 0x20
        if critical or kind == _EXIF:
            is_intact = zlib.crc32(memoryview(data)[start + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big")
            if critical and not is_intact:
                raise damaged
            if kind == _EXIF and is_intact:
                orientation = read_orientation(data[start + 8 : end - 4])
        if kind == b"IHDR":
            if header or length != 13:
                raise damaged
            header = data[start + 8 : end - 4]
        if kind == _TRANSPARENCY and not compressed:
            transparency = data[start + 8 : end - 4]
        compressed += length * (kind == b"IDAT")
        start = end
        if kind == b"IEND":
            break
    else:
        raise damaged
    width = int.from_bytes(header[:4], "big")
    height = int.from_bytes(header[4:8], "big")
    depth = header[8]
    color = header[9]
    if depth not in _DEPTHS.get(color, ()):
        raise damaged
    check_size(width, height, limits, "PNG")
    if height * (width * _SAMPLES[color] * depth // 8) > DEFLATE_RATIO * compressed:
        raise insufficient_data("PNG")
    transparent = None
    if color == 0 and len(transparency) == 2:
        spread = 255 // (2**depth - 1) if depth < 8 else 1  # fewer than 8 bits are scaled to 8
        transparent = int.from_bytes(transparency, "big") * spread
    return Header(width, height, orientation, transparent=transparent)
