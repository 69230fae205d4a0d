"""The header of a DICOM file as bytes that may say anything: values come out clean, or not at all."""

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

from cxrjax.io.errors import UnreadableImage, name_uid
from cxrjax.io.header import check_bytes
from cxrjax.io.limits import Limits

MAGIC_AT = 128
MAGIC = b"DICM"
_META_GROUP = b"\x02\x00"
_BARE_GROUP = b"\x08\x00"  # a data set written without preamble and meta group begins with its group 0008
_LONG_VRS = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"}
_TRANSFER_SYNTAX = (2, 0x10)
_MEDIA_CLASS = (2, 2)
_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"  # DICOMDIR
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def is_dicom(data: bytes) -> bool:
    """Whether bytes begin as a DICOM file with preamble, or with the meta group where the preamble is missing."""
    return data[MAGIC_AT : MAGIC_AT + len(MAGIC)] == MAGIC or (
        data.startswith(_META_GROUP) and data[4:6].isalpha() and data[4:6].isupper()
    )


def may_be_bare_dicom(data: bytes) -> bool:
    """Whether bytes may be a data set without preamble and meta group."""
    return data.startswith(_BARE_GROUP)


def read_dataset(data: bytes, tags: Iterable[str], limits: Limits) -> tuple[pydicom.Dataset, str]:
    """Read elements of a DICOM file.

    Args:
        data: the file.
        tags: keywords; nothing else is taken out of the file, so that nothing of the patient reaches a result.
        limits: to keep, also by what a deflated file inflates to.

    Returns:
        The data set, whose values are as yet unchecked, and the transfer syntax; "" for one that is no UID.

    Raises:
        UnreadableImage: damaged, a DICOMDIR, or beyond the limits.
    """
    check_bytes(len(data), limits)
    meta, end = _read_meta(data)
    if meta.get(_MEDIA_CLASS) == _DIRECTORY_CLASS:
        raise UnreadableImage("a DICOMDIR, which is an index of files")
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
            raise UnreadableImage("truncated or damaged DICOM file") from error
    if syntax is None:  # no meta group, or it does not say; the reader has found out how the file is written
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        syntax = str(ImplicitVRLittleEndian if implicit else explicit)
    return dataset, name_uid(syntax)


def value_of(dataset: Any, keyword: str) -> Any:
    """Return an element's value as pydicom reads it; None where it is missing, empty, or cannot be read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = dataset.get(keyword)
        except MemoryError:
            raise
        except Exception:  # each representation of a value fails in its own way
            return None
    return value if value is not None and not (isinstance(value, str | bytes) and not value) else None


def texts_of(dataset: Any, keyword: str) -> list[str]:
    """Return the values of a text element without blanks around them; [] where there is none."""
    value = value_of(dataset, keyword)
    values = [value] if isinstance(value, str | bytes) or not isinstance(value, Iterable) else list(value)
    texts = [one.decode("latin-1") if isinstance(one, bytes) else str(one) for one in values if one is not None]
    return [text.replace("\0", " ").strip() for text in texts]


def text_of(dataset: Any, keyword: str) -> str:
    """Return the text of an element, its values joined by a backslash; "" where there is none."""
    return "\\".join(texts_of(dataset, keyword))


def numbers_of(dataset: Any, keyword: str) -> list[float | None]:
    """Return the values of a numeric element, None for each that is no finite number; [] where there is none."""
    return [_to_number(text) for text in texts_of(dataset, keyword)]


def number_of(dataset: Any, keyword: str) -> float | None:
    """Return the first value of a numeric element; None where it is no finite number."""
    return next(iter(numbers_of(dataset, keyword)), None)


def integer_of(dataset: Any, keyword: str) -> int | None:
    """Return the first value of a numeric element; None where it is no whole number."""
    number = number_of(dataset, keyword)
    return None if number is None or number != math.floor(number) else int(number)


def items_of(dataset: Any, keyword: str) -> list[pydicom.Dataset]:
    """Return the items of a sequence; [] where it is missing, empty or no sequence."""
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
    """Read the meta group, which is explicit and little-endian: the values as text, and where the group ends."""
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
        raise UnreadableImage("truncated or damaged DICOM file") from error
    check_bytes(len(inflated), limits)
    if not stream.eof:
        raise UnreadableImage("truncated or damaged DICOM file")
    return inflated
