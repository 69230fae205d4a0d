"""Reading of single elements of a DICOM header, without the pixels and with as little of the file as necessary."""

import contextlib
import io
import struct
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.filereader import read_dataset, read_partial
from pydicom.tag import BaseTag, Tag

PREAMBLE = 128  # bytes before the magic
MAGIC = b"DICM"
BARE = (b"\x08\x00", b"\x02\x00")  # a file without preamble begins with group 0008 or 0002, little-endian
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_META_LENGTH = PREAMBLE + len(MAGIC)  # offset of (0002,0000), the length of the meta group
_MAX_BYTES = 1 << 20  # of a file, raw and inflated, that are searched for the elements
_MAX_VALUE = 1 << 16  # bytes of a value; longer values are not read


def is_dicom(file: Path) -> bool:
    """Return whether a regular file begins like a DICOM file; only its first 132 bytes are read."""
    if not file.is_file():
        return False
    try:
        with file.open("rb") as stream:
            start = stream.read(PREAMBLE + len(MAGIC))
    except OSError:
        return False
    return start[PREAMBLE:] == MAGIC or start.startswith(BARE)


def read_header(file: Path | bytes, keywords: Sequence[str]) -> pydicom.Dataset:
    """Read some elements of a DICOM header.

    Args:
        file: a path, or the content of a file.
        keywords: keywords of the elements, such as "PatientID".

    Returns:
        The elements that could be read; an empty data set if the file is missing, damaged or not DICOM.
    """
    if isinstance(file, Path) and not is_dicom(file):
        return pydicom.Dataset()
    with warnings.catch_warnings(), contextlib.suppress(Exception):  # damaged headers raise any exception
        warnings.simplefilter("ignore")
        if isinstance(file, Path):
            with file.open("rb") as stream:
                file = stream.read(_MAX_BYTES)
        return _read_elements(io.BytesIO(file[:_MAX_BYTES]), keywords)
    return pydicom.Dataset()


def read_text(header: pydicom.Dataset, keyword: str) -> str:
    """Return an element as stripped text; "" if it is missing or cannot be decoded."""
    with contextlib.suppress(Exception):
        return str(header.get(keyword) or "").replace("\0", "").strip()
    return ""


def _read_elements(stream: BinaryIO, keywords: Sequence[str]) -> pydicom.Dataset:
    tags: list[BaseTag | int] = [Tag(keyword) for keyword in keywords]

    def is_past(tag: int, vr: str | None, length: int) -> bool:
        return tag > max(tags)

    start = stream.read(1024)
    stream.seek(0)
    if _DEFLATED not in start:
        return read_partial(stream, stop_when=is_past, defer_size=_MAX_VALUE, force=True, specific_tags=tags)
    (length,) = struct.unpack_from("<I", start, _META_LENGTH + 8)
    stream.seek(_META_LENGTH + 12 + length)
    # pydicom would inflate the whole file, regardless of its inflated size.
    inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(stream.read(), _MAX_BYTES)
    return read_dataset(io.BytesIO(inflated), False, True, stop_when=is_past, specific_tags=tags)
