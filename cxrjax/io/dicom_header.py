"""Robust reading of DICOM headers from untrusted bytes: a value is returned cleaned, or not at all."""

import io
import math
import re
import struct
import warnings
import zlib
from collections.abc import Iterable
from typing import Any

import pydicom
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.valuerep import PersonName

from cxrjax.io.errors import ImageDecodeError, valid_uid
from cxrjax.io.header import check_bytes
from cxrjax.io.limits import Limits

MAGIC_AT = 128
MAGIC = b"DICM"
_META_GROUP = b"\x02\x00"
_BARE_GROUP = b"\x08\x00"  # a data set without preamble and meta group begins with group 0008
_LONG_VRS = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"}
_TRANSFER_SYNTAX = (2, 0x10)
_MEDIA_CLASS = (2, 2)
_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"  # DICOMDIR
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def is_dicom(data: bytes) -> bool:
    """Return whether bytes begin like a DICOM file with a preamble, or with the meta group if it is missing."""
    return data[MAGIC_AT : MAGIC_AT + len(MAGIC)] == MAGIC or (
        data.startswith(_META_GROUP) and data[4:6].isalpha() and data[4:6].isupper()
    )


def may_be_bare_dicom(data: bytes) -> bool:
    """Return whether bytes may be a data set without preamble and meta group."""
    return data.startswith(_BARE_GROUP)


def read_dataset(data: bytes, tags: Iterable[str], limits: Limits) -> tuple[pydicom.Dataset, str]:
    """Read elements of a DICOM file.

    Args:
        data: content of the file.
        tags: keywords; no other elements are read, so that no patient data reaches a result.
        limits: limits of the file, also applied to the inflated size of a deflated file.

    Returns:
        The data set, with unchecked values, and the transfer syntax; "" if it is not a UID.

    Raises:
        ImageDecodeError: damaged, a DICOMDIR, or beyond the limits.
    """
    check_bytes(len(data), limits)
    meta, end = _read_meta(data)
    if meta.get(_MEDIA_CLASS) == _DIRECTORY_CLASS:
        raise ImageDecodeError("a DICOMDIR, which is an index of files")
    syntax = meta.get(_TRANSFER_SYNTAX)
    body = data
    if syntax == DeflatedExplicitVRLittleEndian:
        body = _inflate(memoryview(data)[end:], limits)
        syntax = str(ExplicitVRLittleEndian)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(io.BytesIO(body), force=True, specific_tags=list(tags))
        except MemoryError:
            raise
        except Exception as error:  # pydicom's own text quotes the file
            raise ImageDecodeError("truncated or damaged DICOM file") from error
    if syntax is None:  # not stated in a meta group: use the encoding that pydicom detected
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        syntax = str(ImplicitVRLittleEndian if implicit else explicit)
    return dataset, valid_uid(syntax)


def value_of(dataset: Any, keyword: str) -> Any:
    """Return an element's value as read by pydicom; None if it is missing, empty, or cannot be read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = dataset.get(keyword)
        except MemoryError:
            raise
        except Exception:  # invalid values raise arbitrary exceptions
            return None
    return value if value is not None and not (isinstance(value, str | bytes) and not value) else None


def texts_of(dataset: Any, keyword: str) -> list[str]:
    """Return the stripped values of a text element; [] if it is missing."""
    value = value_of(dataset, keyword)
    is_single = isinstance(value, str | bytes | PersonName) or not isinstance(value, Iterable)
    values = [value] if is_single else list(value)
    texts = [item.decode("latin-1") if isinstance(item, bytes) else str(item) for item in values if item is not None]
    return [text.replace("\0", " ").strip() for text in texts]


def text_of(dataset: Any, keyword: str) -> str:
    """Return the text of an element, with its values joined by a backslash; "" if it is missing."""
    return "\\".join(texts_of(dataset, keyword))


def numbers_of(dataset: Any, keyword: str) -> list[float | None]:
    """Return the values of a numeric element, None for each that is not a finite number; [] if it is missing."""
    return [_to_number(text) for text in texts_of(dataset, keyword)]


def number_of(dataset: Any, keyword: str) -> float | None:
    """Return the first value of a numeric element; None if it is not a finite number."""
    return next(iter(numbers_of(dataset, keyword)), None)


def integer_of(dataset: Any, keyword: str) -> int | None:
    """Return the first value of a numeric element; None if it is not a whole number."""
    number = number_of(dataset, keyword)
    return None if number is None or number != math.floor(number) else int(number)


def items_of(dataset: Any, keyword: str) -> list[pydicom.Dataset]:
    """Return the items of a sequence; [] if it is missing, empty or not a sequence."""
    value = value_of(dataset, keyword)
    if isinstance(value, pydicom.Dataset):
        return [value]
    if not isinstance(value, pydicom.Sequence | list | tuple):
        return []
    return [item for item in value if isinstance(item, pydicom.Dataset)]


def _to_number(text: str) -> float | None:
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def _read_meta(data: bytes) -> tuple[dict[tuple[int, int], str], int]:
    """Read the meta group (explicit, little-endian): its values as text, and the offset of its end."""
    position = MAGIC_AT + len(MAGIC) if data[MAGIC_AT : MAGIC_AT + len(MAGIC)] == MAGIC else 0
    meta: dict[tuple[int, int], str] = {}
    while data[position : position + 2] == _META_GROUP:
        try:
            group, element, kind, length = struct.unpack_from("<HH2sH", data, position)
            position += 8
            if kind in _LONG_VRS:
                (length,) = struct.unpack_from("<I", data, position)
                position += 4
        except struct.error:
            break
        meta[group, element] = data[position : position + min(length, 256)].decode("latin-1").strip("\0 ")
        position += length
    return meta, position


def _inflate(body: memoryview, limits: Limits) -> bytes:
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = stream.decompress(body, limits.max_bytes + 1)
    except zlib.error as error:
        raise ImageDecodeError("truncated or damaged DICOM file") from error
    check_bytes(len(inflated), limits)
    if not stream.eof:
        raise ImageDecodeError("truncated or damaged DICOM file")
    return inflated
