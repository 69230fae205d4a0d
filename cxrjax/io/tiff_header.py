"""The directories of a TIFF file (TIFF 6.0), walked without decoding."""

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence

from cxrjax.io.errors import ImageDecodeError
from cxrjax.io.header import (
    DEFLATE_RATIO,
    JPEG_PIXELS,
    LZW_RATIO,
    PACKBITS_RATIO,
    Header,
    check_size,
    insufficient_data,
)
from cxrjax.io.limits import Limits

MAGICS = (b"II*\0", b"MM\0*")
_MAX_DIRECTORIES = 1000
_MAX_PARTS = 2_000_000  # strips or tiles
_SIZES = {1: 1, 3: 2, 4: 4}  # bytes of BYTE, SHORT and LONG
_LAYOUT = {1: "B", 3: "H", 4: "I"}
_WIDTH = 256
_HEIGHT = 257
_BITS = 258
_COMPRESSION = 259
_PHOTOMETRIC = 262
_ORIENTATION = 274
_STRIPS = 273
_SAMPLES = 277
_ROWS_PER_STRIP = 278
_STRIP_SIZES = 279
_PLANAR = 284
_TILE_WIDTH = 322
_TILE_HEIGHT = 323
_TILES = 324
_TILE_SIZES = 325
_SUBFILE = 254
_FORMAT = 339
_TAGS = {
    *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION),
    *(_STRIPS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_SIZES, _PLANAR),
    *(_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES, _FORMAT),
}
_NO_PAGE = 0b101  # of NewSubfileType: a smaller version of another page, or its transparency
_MAX_PREVIEWS = 16
_BITS_READ = (1, 8, 10, 12, 14, 16, 32, 64)  # the decoder itself reports that 32 and 64 are too many
_FLOAT = 3
_NOT_READ = {
    **{6: "old-style JPEG", 34712: "JPEG 2000", 34887: "LERC", 34925: "LZMA", 50000: "Zstandard", 50001: "WebP"},
    **{50002: "JPEG XL", 52546: "JPEG XL"},
}  # compressions
_RAW = 1
_DEFLATE = {8, 32946}
_SEPARATE = 2
# The most bytes that a byte of each compression can become; of the others no bound is known.
_RATIOS = {_RAW: 1, 5: LZW_RATIO, 8: DEFLATE_RATIO, 32946: DEFLATE_RATIO, 32773: PACKBITS_RATIO}
_PACKBITS = 32773
_JPEG = 7  # compression
# Photometric interpretations
_PALETTE = 3
_YCBCR = 6

Directory = Mapping[int, Sequence[int]]


def inspect(data: bytes, limits: Limits) -> Header:
    """Read the header, and check that there is one page whose strips or tiles lie in the file and can hold its pixels.

    Deflated parts are inflated one by one and their checksums compared, which libtiff leaves out.

    Raises:
        ImageDecodeError: truncated, damaged, several pages, or beyond the limits.
    """
    order = "<" if data.startswith(b"II") else ">"
    starts = _find_directories(data, order)
    if len(starts) > 1:
        has_previews = len(starts) <= _MAX_PREVIEWS and not _is_no_page(data, starts[0], order)
        pages = len(starts) - sum(_is_no_page(data, start, order) for start in starts if has_previews)
        more = "more than " if pages > _MAX_DIRECTORIES else ""
        if pages > 1:
            raise ImageDecodeError(f"{more}{min(pages, _MAX_DIRECTORIES)} pages, not one radiograph")
    directory = _read_directory(data, starts[0], order)
    width = _first(directory, _WIDTH)
    height = _first(directory, _HEIGHT)
    check_size(width, height, limits, "TIFF")
    _check_form(directory)
    _check_parts(data, directory, width, height)
    orientation = _first(directory, _ORIENTATION, 1)
    return Header(
        width,
        height,
        orientation if 1 <= orientation <= 8 else 1,
        white_is_zero=_first(directory, _PHOTOMETRIC, 1) == 0,
    )


def _damaged() -> ImageDecodeError:
    return ImageDecodeError("truncated or damaged TIFF file")


def _unpack(layout: str, data: bytes, at: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(layout, data, at)
    except struct.error as error:
        raise _damaged() from error


def _find_directories(data: bytes, order: str) -> list[int]:
    """Return where each directory begins, at most one more than `_MAX_DIRECTORIES`."""
    starts: list[int] = []
    (start,) = _unpack(order + "I", data, 4)
    while start and len(starts) <= _MAX_DIRECTORIES:
        if start in starts or start < 8:
            raise _damaged()
        starts.append(start)
        (count,) = _unpack(order + "H", data, start)
        (start,) = _unpack(order + "I", data, start + 2 + 12 * count)
    if not starts:
        raise _damaged()
    return starts


def _read_directory(data: bytes, start: int, order: str) -> Directory:
    directory: dict[int, Sequence[int]] = {}
    (entries,) = _unpack(order + "H", data, start)
    for entry in range(entries):
        at = start + 2 + 12 * entry
        tag, kind, count = _unpack(order + "HHI", data, at)
        if tag not in _TAGS or kind not in _SIZES or tag in directory:
            continue
        if count > _MAX_PARTS:
            raise _damaged()
        where = at + 8
        if count * _SIZES[kind] > 4:
            (where,) = _unpack(order + "I", data, where)
        directory[tag] = _unpack(f"{order}{count}{_LAYOUT[kind]}", data, where)
    return directory


def _is_no_page(data: bytes, start: int, order: str) -> bool:
    """Return whether a directory is of a preview or of the transparency of another page."""
    (entries,) = _unpack(order + "H", data, start)
    for entry in range(entries):
        tag, kind, count, value = _unpack(order + "HHII", data, start + 2 + 12 * entry)
        if tag >= _SUBFILE:
            return (tag, kind, count) == (_SUBFILE, 4, 1) and bool(value & _NO_PAGE)
    return False


def _check_form(directory: Directory) -> None:
    """Check that numbers and compression are of a kind that is read; the decoder does not say why it fails."""
    compression = _first(directory, _COMPRESSION, _RAW)
    if compression in _NOT_READ:
        raise ImageDecodeError(f"a TIFF file compressed by {_NOT_READ[compression]}, which is not read")
    bits = _first(directory, _BITS, 1)
    if bits < 32 and _first(directory, _FORMAT, 1) == _FLOAT:
        raise ImageDecodeError(f"{bits}-bit floating-point pixels, where 8 or 16 bit unsigned are needed")
    if bits not in _BITS_READ and not (bits == 4 and _first(directory, _PHOTOMETRIC) == _PALETTE):
        raise ImageDecodeError(f"{bits} bits a value, where 1, 8, 10, 12, 14 and 16 are read")


def _first(directory: Directory, tag: int, default: int = 0) -> int:
    values = directory.get(tag) or [default]
    return values[0]


def _check_parts(data: bytes, directory: Directory, width: int, height: int) -> None:
    """Check the strips or tiles: as many as the image requires, inside the file, and with enough data."""
    samples = _first(directory, _SAMPLES, 1)
    bits = _first(directory, _BITS, 1)
    if not 1 <= samples <= 64 or not 1 <= bits <= 64:
        raise _damaged()
    separate = _first(directory, _PLANAR, 1) == _SEPARATE
    subsampled = _first(directory, _PHOTOMETRIC) == _YCBCR  # its color may be coarser, its luminance is not
    bits_per_pixel = bits if separate or subsampled else bits * samples
    planes = samples if separate else 1
    if _TILES in directory:
        offsets = directory[_TILES]
        sizes = directory.get(_TILE_SIZES, ())
        part_width = _first(directory, _TILE_WIDTH)
        part_height = _first(directory, _TILE_HEIGHT)
        if part_width < 1 or part_height < 1 or part_width > width + 4096 or part_height > height + 4096:
            raise _damaged()
        across = -(-width // part_width)
        down = -(-height // part_height)
        if across * down * planes > _MAX_PARTS:
            raise _damaged()
        heights = [part_height] * (across * down * planes)
    else:
        offsets = directory.get(_STRIPS, ())
        sizes = directory.get(_STRIP_SIZES, ())
        part_width = width
        part_height = min(_first(directory, _ROWS_PER_STRIP, height) or height, height)
        down = -(-height // part_height)
        if down * planes > _MAX_PARTS:
            raise _damaged()
        heights = [min(part_height, height - part_height * (part % down)) for part in range(down * planes)]
    if len(offsets) < len(heights) or (sizes and len(sizes) < len(heights)):
        raise _damaged()
    if not sizes:
        sizes = [len(data) - offset for offset in offsets]
    row = -(-part_width * bits_per_pixel // 8)
    compression = _first(directory, _COMPRESSION, _RAW)
    whole = _WHOLE.get(compression)
    for offset, size, rows in zip(offsets, sizes, heights, strict=False):
        if offset < 8 or size < 0 or offset + size > len(data):
            raise _damaged()
        if _lacks_data(size, rows * row, rows * part_width, compression):
            raise insufficient_data("TIFF")
        if whole and not whole(data[offset : offset + size], rows * row, part_height * row):
            raise _damaged()


def _lacks_data(size: int, inflated: int, pixels: int, compression: int) -> bool:
    if compression == _JPEG:
        return pixels > JPEG_PIXELS * size
    ratio = _RATIOS.get(compression)
    return size < 1 if ratio is None else inflated > ratio * size


def _inflates(part: bytes, least: int, most: int) -> bool:
    """Return whether a deflated strip inflates to between `least` and `most` bytes with a valid checksum."""
    stream = zlib.decompressobj()
    try:
        inflated = stream.decompress(part, most + 1)
    except zlib.error:
        return False
    return stream.eof and len(inflated) >= least


def _unpacks(part: bytes, least: int, most: int) -> bool:
    """Return whether a strip of PackBits ends where its pixels end, except for a byte of padding."""
    position = 0
    unpacked = 0
    while unpacked < least and position < len(part):
        code = part[position]
        if code < 128:
            position += code + 2
            unpacked += code + 1
        elif code > 128:
            position += 2
            unpacked += 257 - code
        else:  # nothing
            position += 1
    return unpacked == least and position <= len(part) and (len(part) - position < 2 or most > least)


_WHOLE: dict[int, Callable[[bytes, int, int], bool]] = {**dict.fromkeys(_DEFLATE, _inflates), _PACKBITS: _unpacks}
