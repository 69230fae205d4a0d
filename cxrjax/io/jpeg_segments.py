"""Segments of a JPEG file (ITU-T T.81, annex B): number of color components, and removal of metadata."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

# Markers.
_START = 0xD8
_END = 0xD9
_SCAN = 0xDA
_APP0 = 0xE0
_ADOBE = 0xEE
_RESTARTS = range(0xD0, 0xD8)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15
_HUFFMAN = 0xC4
_QUANTIZATION = 0xDB
_RESTART_INTERVAL = 0xDD
_IMAGE_DATA = _FRAMES | {_RESTART_INTERVAL, _SCAN}
# Segments that define the colors of the components, without their fields for other data.
_JFIF = b"\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
_ADOBE_FORM = b"\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0"  # followed by the color transform, one byte
_ADOBE_TRANSFORM = 15  # offset of that byte in the segment


class _Segment(NamedTuple):
    marker: int
    content: bytes  # including the marker, and the compressed data of a scan


class JpegStructureError(ValueError):
    """The bytes do not follow the structure of a JPEG file."""


def count_components(data: bytes) -> int:
    """Return the number of color components: 1 for gray, 3 for color, 4 for CMYK.

    Raises:
        JpegStructureError: the file has no frame.
    """
    for segment in _walk(data):
        if segment.marker in _FRAMES and len(segment.content) > 9:
            return segment.content[9]
    raise JpegStructureError("a JPEG file without a frame")


def strip(data: bytes) -> bytes:
    """Remove all metadata from a JPEG file: EXIF, XMP, IPTC, comments, color profile and thumbnail.

    Args:
        data: content of the file.

    Returns:
        A JPEG file with the same compressed data and the tables that it uses. It decodes to the same pixels, except for
        the EXIF orientation, and for files that state the height or arithmetic coding separately (DNL, DAC).

    Raises:
        JpegStructureError: the structure of the file is not valid to its end.
    """
    segments = list(_walk(data))
    used_tables = _list_used_tables(segments)
    parts = [b"\xff\xd8"]
    for segment in segments:
        if segment.marker in _IMAGE_DATA:
            parts.append(segment.content)
        elif segment.marker in (_HUFFMAN, _QUANTIZATION):
            parts.append(_filter_tables(segment, used_tables))
        elif segment.marker == _APP0 and segment.content[4:9] == b"JFIF\0":
            parts.append(_JFIF)
        elif segment.marker == _ADOBE and segment.content[4:9] == b"Adobe" and len(segment.content) > _ADOBE_TRANSFORM:
            parts.append(_ADOBE_FORM + segment.content[_ADOBE_TRANSFORM : _ADOBE_TRANSFORM + 1])
    return b"".join([*parts, b"\xff\xd9"])


def _list_used_tables(segments: Sequence[_Segment]) -> set[tuple[int, int]]:
    """Return the marker and the number of each table that a frame or a scan refers to."""
    used_tables = set()
    for marker, content in segments:
        if marker in _FRAMES and len(content) > 9:
            used_tables |= {(_QUANTIZATION, number) for number in content[12 : 10 + 3 * content[9] : 3]}
        elif marker == _SCAN and len(content) > 4:
            for numbers in content[6 : 5 + 2 * content[4] : 2]:  # 4 bits each for the DC table and the AC table
                used_tables |= {(_HUFFMAN, numbers >> 4), (_HUFFMAN, 0x10 | numbers & 0x0F)}
    return used_tables


def _filter_tables(segment: _Segment, used_tables: set[tuple[int, int]]) -> bytes:
    """Remove unused tables, which may contain arbitrary data, from a segment; returns b"" if no table is left."""
    marker, content = segment
    tables = []
    at = 4
    while at < len(content):
        if marker == _HUFFMAN:
            number = content[at]
            end = at + 17 + sum(content[at + 1 : at + 17])
        else:
            number = content[at] & 0x0F
            end = at + (129 if content[at] >> 4 else 65)
        if (marker, number) in used_tables:
            tables.append(content[at:end])
        at = end
    if at != len(content):
        raise JpegStructureError("a table longer than its segment")
    data = b"".join(tables)
    return content[:2] + (len(data) + 2).to_bytes(2, "big") + data if tables else b""


def _walk(data: bytes) -> Iterator[_Segment]:
    """Yield the segments between the start marker and the end marker."""
    if data[:2] != bytes([0xFF, _START]):
        raise JpegStructureError("not a JPEG file")
    at = 2
    while True:
        start = data.find(b"\xff", at)
        if start != at:
            raise JpegStructureError("unexpected bytes between two segments")
        while data[start : start + 2] == b"\xff\xff":  # fill bytes
            start += 1
        if start + 2 > len(data):
            raise JpegStructureError("no end marker")
        marker = data[start + 1]
        if marker == _END:
            return
        end = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        if end < start + 4 or end > len(data):
            raise JpegStructureError("a segment longer than the file")
        if marker == _SCAN:
            end = _find_marker(data, end)
        yield _Segment(marker, data[start:end])
        at = end


def _find_marker(data: bytes, at: int) -> int:
    """Return the end of a scan's compressed data: the next marker that is not a restart marker."""
    while (at := data.find(b"\xff", at)) >= 0:
        following = data[at + 1 : at + 2]
        if not following:
            break
        if following[0] not in (0, 0xFF) and following[0] not in _RESTARTS:
            return at
        at += 1 if following[0] == 0xFF else 2
    raise JpegStructureError("a scan without an end")
