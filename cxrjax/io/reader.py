"""Files to radiographs in a process of their own, which may die of one without ending the command.

    with SafeReader() as reader:
        radiograph = reader.read("a.dcm")

A command that reads many files needs one reader; `shared` is that of this process.
"""

import atexit
import os
import stat
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np

from cxrjax.io import decoding, dicom, images
from cxrjax.io.dicom_header import is_dicom, may_be_bare_dicom
from cxrjax.io.errors import ImageDecodeError, ImageReadError
from cxrjax.io.header import check_bytes
from cxrjax.io.limits import Limits, current
from cxrjax.io.types import Radiograph
from cxrjax.runtime.bounded import BoundedProcess, Bounds, BoundsExceededError

_UNREADABLE = "unreadable"  # the key of an answer that is a reason

_shared: "SafeReader | None" = None
_shared_lock = threading.Lock()


class SafeReader:
    """A reader of files from anywhere: whatever its decoders do is an `ImageReadError`.

    Threads may share it; their files are read one after the other.

    Args:
        limits: None for those of this process.
    """

    def __init__(self, limits: Limits | None = None):
        self._limits = limits or current()
        bounds = Bounds(self._limits.max_seconds, self._limits.max_memory)
        self._process = BoundedProcess([f"{__name__}.{name}" for name in _FUNCTIONS], bounds)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the process without waiting for it; the first file starts it too.

        Raises:
            OSError: no process can be started.
        """
        self._process.start()

    def close(self) -> None:
        """End the process; a further file starts another."""
        self._process.close()

    def read(self, path: str | Path, value_range: tuple[float, float] | None = None) -> Radiograph:
        """Read one file; for `value_range` see `decoding.decode`.

        Raises:
            ImageReadError: missing, no permission, a folder, anything that `decoding.decode` refuses, or a
                decoder that crashed or went beyond the limits.
            OSError: no process can be started.
        """
        return _radiograph(self._call(path, "read_file", _absolute(path), str(path), value_range and list(value_range)))

    def decode(self, data: bytes, name: str) -> Radiograph:
        """Decode the bytes of one file; `name` is its path, or what to call it.

        Raises:
            ImageReadError: see `read`.
            OSError: no process can be started.
        """
        if len(data) > self._limits.max_bytes:  # rather than send them
            return decoding.decode(data, name, self._limits)
        return _radiograph(self._call(name, "decode_bytes", data, name))

    def read_values(self, path: str | Path) -> np.ndarray:
        """Read the values of a mask: PNG, JPEG, TIFF, WebP, BMP or GIF.

        Returns:
            [H, W] or [H, W, channels], as they are in the file.

        Raises:
            ImageReadError: see `read`.
            OSError: no process can be started.
        """
        return self._call(path, "read_mask", _absolute(path))["values"]

    def explain_refusal(self, path: str | Path) -> str:
        """Return why the header of a file says that it is no frontal radiograph of the chest.

        Returns:
            A reason; "" if it does not say so, and for what is no readable DICOM file.

        Raises:
            ImageReadError: the reading process crashed or went beyond the limits.
            OSError: no process can be started.
        """
        return self._call(path, "explain_header", _absolute(path))["reason"]

    def _call(self, path: str | Path, function: str, *arguments: Any) -> dict[str, Any]:
        try:
            answer = self._process.call(f"{__name__}.{function}", *arguments, asdict(self._limits))
        except BoundsExceededError as error:
            raise ImageReadError(path, f"{error} (--limits sets other limits)") from error
        if _UNREADABLE in answer:
            raise ImageReadError(path, answer[_UNREADABLE])
        return answer


def _radiograph(fields: dict[str, Any]) -> Radiograph:
    spacing: Any = fields["spacing"] and tuple(fields["spacing"])
    return Radiograph(**(fields | {"spacing": spacing}))


def shared() -> SafeReader:
    """Return the reader of this process, which ends with it."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = SafeReader()
        return _shared


def close_shared() -> None:
    """End the reader of this process; a further use of `shared` makes another."""
    global _shared
    with _shared_lock:
        if _shared is not None:
            _shared.close()
        _shared = None


def _forget() -> None:
    """After a fork the reader is the parent's, and so may be the lock."""
    global _shared, _shared_lock
    _shared = None
    _shared_lock = threading.Lock()


atexit.register(close_shared)
os.register_at_fork(after_in_child=_forget)


# What runs in the other process.


def read_file(path: str, name: str, value_range: list[float] | None, limits: dict[str, Any]) -> dict[str, Any]:
    """Read a file; the fields of a `Radiograph`, or a reason."""
    bounds: Any = value_range and tuple(value_range)
    return _answer(lambda: _fields(decoding.decode(read_bytes(path, Limits(**limits)), name, Limits(**limits), bounds)))


def decode_bytes(data: bytes, name: str, limits: dict[str, Any]) -> dict[str, Any]:
    """Decode bytes; the fields of a `Radiograph`, or a reason."""
    return _answer(lambda: _fields(decoding.decode(data, name, Limits(**limits))))


def read_mask(path: str, limits: dict[str, Any]) -> dict[str, Any]:
    """Read a mask; its values, or a reason."""
    return _answer(lambda: {"values": images.decode_values(read_bytes(path, Limits(**limits)), Limits(**limits))})


def explain_header(path: str, limits: dict[str, Any]) -> dict[str, Any]:
    """Return why the header of a file says that it is not a frontal chest radiograph, as "reason"; "" otherwise."""
    try:
        data = read_bytes(path, Limits(**limits))
        has_header = is_dicom(data) or may_be_bare_dicom(data)
        return {"reason": dicom.explain_refusal(data, Limits(**limits)) if has_header else ""}
    except ImageDecodeError:  # reported when the file is read
        return {"reason": ""}


_FUNCTIONS = ("read_file", "decode_bytes", "read_mask", "explain_header")


def _answer(read: Any) -> dict[str, Any]:
    try:
        return read()
    except (ImageDecodeError, ImageReadError) as error:
        return {_UNREADABLE: error.reason}


def _fields(radiograph: Radiograph) -> dict[str, Any]:
    return {field: getattr(radiograph, field) for field in Radiograph.__dataclass_fields__}


def read_bytes(path: str | Path, limits: Limits) -> bytes:
    """Read a file that is a file: a pipe might never end.

    Raises:
        ImageDecodeError: missing, no permission, no file, or beyond the limits.
    """
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise ImageDecodeError("is a directory")
        if not stat.S_ISREG(status.st_mode):
            raise ImageDecodeError("is no file, but a device, pipe or socket")
        check_bytes(status.st_size, limits)
        with open(path, "rb") as file:
            return file.read(limits.max_bytes + 1)
    except FileNotFoundError as error:
        raise ImageDecodeError("no such file or folder") from error
    except (OSError, ValueError) as error:
        raise ImageDecodeError((getattr(error, "strerror", None) or "not a valid path").lower()) from error


def _absolute(path: str | Path) -> str:
    try:
        return os.path.abspath(path)
    except OSError:  # the current folder was removed
        return os.fspath(path)
