"""Convert file names, which may be any bytes, to text that can be stored and printed."""

import os
from dataclasses import replace

from cxrjax.runtime.terminal import escape
from data_prep.record import Record, SkippedRecord


def storable(text: str) -> str:
    r"""Return a text that UTF-8 can encode: bytes of a name that are not UTF-8 become escapes such as \xf6."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return os.fsencode(text).decode("utf-8", "backslashreplace")
    return text


def printable(text: str) -> str:
    """Return a text without control characters, which a terminal would execute; line breaks stay."""
    return escape(storable(text), allowed="\n")


def make_storable(record: Record | SkippedRecord) -> Record | SkippedRecord:
    """Return a record whose text can be stored, see `storable`."""
    if isinstance(record, SkippedRecord):
        return SkippedRecord(storable(record.id), storable(record.reason))
    names = ("id", "label", "upstream_label", "patient_id", "source")
    fields = {name: storable(getattr(record, name)) for name in names}
    is_storable = all(getattr(record, name) == text for name, text in fields.items())
    return record if is_storable else replace(record, **fields)
