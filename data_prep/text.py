"""Names of files, which may be any bytes, as text that can be stored and printed."""

import os
from dataclasses import replace

from cxrjax.runtime.terminal import escape
from data_prep.record import Record, SkippedRecord


def storable(text: str) -> str:
    r"""A text that UTF-8 can hold: bytes of a name that are not UTF-8 become escapes such as \xf6."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return os.fsencode(text).decode("utf-8", "backslashreplace")
    return text


def printable(text: str) -> str:
    """Return a text without control characters, which a terminal would obey; lines stay lines."""
    return escape(storable(text), allowed="\n")


def make_storable(one: Record | SkippedRecord) -> Record | SkippedRecord:
    """A row or a skipped file whose words can be stored."""
    if isinstance(one, SkippedRecord):
        return SkippedRecord(storable(one.id), storable(one.reason))
    words = ("id", "label", "upstream_label", "patient_id", "source")
    changed = {word: storable(getattr(one, word)) for word in words}
    return one if all(getattr(one, word) == text for word, text in changed.items()) else replace(one, **changed)
