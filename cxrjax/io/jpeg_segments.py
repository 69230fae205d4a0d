"""Segments of a JPEG file (ITU-T T.81, annex B): how many color components it has, and its picture without the rest."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

_START, _END, _SCAN, _APP0, _ADOBE = 0xD8, 0xD9, 0xDA, 0xE0, 0xEE
_RESTARTS = range(0xD0, 0xD8)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15
_HUFFMAN, _QUANTIZATION, _RESTART_INTERVAL = 0xC4, 0xDB, 0xDD
_PICTURE = _FRAMES | {_RESTART_INTERVAL, _SCAN}
# What tells a decoder which colors the components are, without the fields that can hold anything else.
_JFIF = b"\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
_ADOBE_FORM = b"\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0"  # followed by the color transform, one byte
_ADOBE_TRANSFORM = 15  # where that byte stands in the segment


class _Segment(NamedTuple):
    marker: int
    content: bytes  # with the marker; of a scan, with the compressed data behind it


class NotJpeg(ValueError):
    """The bytes do not follow the structure of a JPEG file."""


def count_components(data: bytes) -> int:
    """Return the number of color components: 1 is gray, 3 color, 4 CMYK.

    Raises:
        NotJpeg: there is no frame.
    """
    for segment in _walk(data):
        if segment.marker in _FRAMES and len(segment.content) > 9:
            return segment.content[9]
    raise NotJpeg("a JPEG file without a frame")


def strip(data: bytes) -> bytes:
    """Return the picture of a JPEG file alone: no EXIF, XMP, IPTC, comment, color profile or thumbnail.

    Args:
        data: content of the file.

    Returns:
        A JPEG file with the same compressed data, and the tables that it uses. It decodes to the same pixels but for
        the orientation of EXIF, and where the height or arithmetic coding is stated apart (DNL, DAC).

    Raises:
        NotJpeg: the structure of the file cannot be followed to its end.
    """
    segments = list(_walk(data))
    used = _list_used_tables(segments)
    kept = [b"\xff\xd8"]
    for segment in segments:
        if segment.marker in _PICTURE:
            kept.append(segment.content)
        elif segment.marker in (_HUFFMAN, _QUANTIZATION):
            kept.append(_keep_tables(segment, used))
        elif segment.marker == _APP0 and segment.content[4:9] == b"JFIF\0":
            kept.append(_JFIF)
        elif segment.marker == _ADOBE and segment.content[4:9] == b"Adobe" and len(segment.content) > _ADOBE_TRANSFORM:
            kept.append(_ADOBE_FORM + segment.content[_ADOBE_TRANSFORM : _ADOBE_TRANSFORM + 1])
    return b"".join([*kept, b"\xff\xd9"])


def _list_used_tables(segments: Sequence[_Segment]) -> set[tuple[int, int]]:
    """Return the marker and the number of each table that a frame or a scan names."""
    used = set()
    for marker, content in segments:
        if marker in _FRAMES and len(content) > 9:
            used |= {(_QUANTIZATION, number) for number in content[12 : 10 + 3 * content[9] : 3]}
        elif marker == _SCAN and len(content) > 4:
            for both in content[6 : 5 + 2 * content[4] : 2]:  # number of the DC table, and of the AC table
                used |= {(_HUFFMAN, both >> 4), (_HUFFMAN, 0x10 | both & 0x0F)}
    return used


def _keep_tables(segment: _Segment, used: set[tuple[int, int]]) -> bytes:
    """Return a segment of tables without those that are never used, which may hold anything; b"" if none is left."""
    marker, content = segment
    kept = []
    at = 4
    while at < len(content):
        if marker == _HUFFMAN:
            number, end = content[at], at + 17 + sum(content[at + 1 : at + 17])
        else:
            number, end = content[at] & 0x0F, at + (129 if content[at] >> 4 else 65)
        if (marker, number) in used:
            kept.append(content[at:end])
        at = end
    if at != len(content):
        raise NotJpeg("a table longer than its segment")
    tables = b"".join(kept)
    return content[:2] + (len(tables) + 2).to_bytes(2, "big") + tables if kept else b""


def _walk(data: bytes) -> Iterator[_Segment]:
    """Yield the segments between the marker of the start and that of the end."""
    if data[:2] != bytes([0xFF, _START]):
        raise NotJpeg("not a JPEG file")
    at = 2
    while True:
        start = data.find(b"\xff", at)
        if start != at:
            raise NotJpeg("bytes between two segments")
        while data[start : start + 2] == b"\xff\xff":  # fill bytes
            start += 1
        if start + 2 > len(data):
            raise NotJpeg("no marker of the end")
        marker = data[start + 1]
        if marker == _END:
            return
        end = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        if end < start + 4 or end > len(data):
            raise NotJpeg("a segment longer than the file")
        if marker == _SCAN:
            end = _find_marker(data, end)
        yield _Segment(marker, data[start:end])
        at = end


def _find_marker(data: bytes, at: int) -> int:
    """Return where the compressed data of a scan ends: at the next marker that is no restart."""
    while (at := data.find(b"\xff", at)) >= 0:
        following = data[at + 1 : at + 2]
        if not following:
            break
        if following[0] not in (0, 0xFF) and following[0] not in _RESTARTS:
            return at
        at += 1 if following[0] == 0xFF else 2
    raise NotJpeg("a scan without an end")
