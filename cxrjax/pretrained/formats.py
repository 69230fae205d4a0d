"""Weight files of any supported format, which is recognized by the content, never by the name of the file."""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import safetensors

from cxrjax.pretrained import keras_weights, safetensors_file, safetensors_header, torch_pth
from cxrjax.runtime.errors import CxrjaxError
from cxrjax.runtime.text import printable

# Prefixes that PyTorch's DataParallel and wrapper modules add to every name.
_PREFIXES = ("module.", "model.", "net.")
_TORCH_HEADS = (b"PK\x03\x04", b"\x80")  # a zip archive, a pickle
_MAX_BYTES = 2**31  # of all arrays; those of our largest network, VGG19, take 0.6 GB
_MAX_REASON = 500  # characters of an error message of a library

_T = TypeVar("_T")


class WeightFormatError(CxrjaxError, ValueError):
    """A file from which no weights can be read.

    Attributes:
        path: the file.
        reason: the reason, in one line.
    """

    def __init__(self, path: str | os.PathLike, reason: str):
        reason = printable(reason)
        super().__init__(f"{printable(path)}: {reason}")
        self.path = path
        self.reason = reason


def read_weights(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the weights in a file of safetensors, PyTorch (state dict or checkpoint) or Keras (HDF5).

    Time and memory are bounded by the length of the file and by constants.

    Args:
        path: the file.

    Returns:
        Name -> array. A prefix that a wrapper added to all names of PyTorch is removed; Keras's names are
        "layer/weight".

    Raises:
        WeightFormatError: the file is missing, truncated, malformed, too large, of another format, or would run code.
            No other error is raised.
    """
    path = Path(path)
    return _with_reason(path, lambda: _read(path))


def read_metadata(path: str | os.PathLike) -> dict[str, str]:
    """Return the metadata of a safetensors file; {} for any other format.

    Raises:
        WeightFormatError: see `read_weights`.
    """
    path = Path(path)

    def read() -> dict[str, str]:
        return safetensors_header.read_metadata(path) if _is_safetensors(_read_head(path)) else {}

    return _with_reason(path, read)


def read_label_names(path: str | os.PathLike) -> list[str]:
    """Return the names of the outputs that a whole PyTorch network has, "" for an unused one; [] of any other file.

    Raises:
        WeightFormatError: see `read_weights`.
    """
    path = Path(path)

    def read() -> list[str]:
        head = _read_head(path)
        is_torch = head.startswith(_TORCH_HEADS) and not _is_safetensors(head)
        return torch_pth.read_label_names(path) if is_torch else []

    return _with_reason(path, read)


def strip_prefixes(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Remove the prefix of a wrapper module if all names have it."""
    for prefix in _PREFIXES:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return dict(state)


def _read(path: Path) -> dict[str, np.ndarray]:
    head = _read_head(path)
    if _is_safetensors(head):
        return strip_prefixes(safetensors_file.read(path, _MAX_BYTES))
    if head.startswith(b"\x89HDF"):
        return keras_weights.read(path)
    if head.startswith(_TORCH_HEADS):
        return strip_prefixes(torch_pth.read(path, _MAX_BYTES))
    if head.startswith(b"version https://git-lfs"):
        raise WeightFormatError(path, "this is a pointer of Git LFS, without the weights; run git lfs pull")
    if head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        raise WeightFormatError(
            path, "this is a web page instead of the file that it links to; download the file itself"
        )
    if head[257:262] == b"ustar":
        raise WeightFormatError(
            path, "this is a tar archive; unpack it or, if PyTorch wrote it, save it with a newer version"
        )
    if head.startswith(b"\x1f\x8b"):
        raise WeightFormatError(path, "this is compressed by gzip; unpack it first")
    raise WeightFormatError(path, "this is not a file of safetensors, PyTorch or Keras")


def _is_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{"  # after the length of the header


def _read_head(path: Path) -> bytes:
    """Return the first bytes of a regular file; reading anything else could block forever."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise WeightFormatError(path, "this is a folder" if stat.S_ISDIR(mode) else "this is not a regular file")
    with path.open("rb") as file:
        return file.read(512)


def _with_reason(path: Path, read: Callable[[], _T]) -> _T:
    """Return the result of a reader; convert every error that it raises into a `WeightFormatError`."""
    try:
        return read()
    except WeightFormatError:
        raise
    except OSError as error:
        raise WeightFormatError(path, (error.strerror or str(error)).lower()) from error
    except MemoryError as error:
        raise WeightFormatError(path, "it needs more memory than is available") from error
    except (ValueError, safetensors.SafetensorError) as error:
        raise WeightFormatError(path, f"no weights can be read from it: {printable(error, _MAX_REASON)}") from error
    except Exception as error:  # unforeseen errors of the parsers on malformed content
        raise WeightFormatError(
            path, f"no weights can be read from it: it is malformed ({printable(repr(error), _MAX_REASON)})"
        ) from error
