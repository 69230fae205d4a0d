"""Why an image is not read. A reason is one sentence without the file's name, and holds no byte of the file."""

import re
from pathlib import Path

_UID = re.compile(r"[0-9.]{1,64}")


class UnreadableImage(Exception):
    """Bytes that hold no usable image: `reason` is a sentence without a subject."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class UnreadableRadiograph(Exception):
    """A file that holds no usable radiograph: `path` is the file, `reason` a sentence without it."""

    def __init__(self, path: str | Path, reason: str):
        super().__init__(str(path), reason)
        self.path = str(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def name_uid(value: object) -> str:
    """Return a UID as a reason may quote it: "" for what is no UID, which may be any text."""
    text = str(value or "").strip("\0 ")
    return text if _UID.fullmatch(text) else ""
