"""Errors of reading images. A reason is one sentence without the file's name, and quotes nothing from the file."""

import re
from pathlib import Path

from cxrjax.runtime.errors import CxrjaxError

_UID = re.compile(r"[0-9.]{1,64}")


class ImageDecodeError(Exception):
    """Bytes without a usable image; `reason` is a sentence without a subject."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class ImageReadError(CxrjaxError):
    """A file without a usable radiograph; `path` is the file, `reason` a sentence without it."""

    def __init__(self, path: str | Path, reason: str):
        super().__init__(str(path), reason)
        self.path = str(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def valid_uid(value: object) -> str:
    """Return the text of a valid UID, which a reason may quote; "" otherwise."""
    text = str(value or "").strip("\0 ")
    return text if _UID.fullmatch(text) else ""
