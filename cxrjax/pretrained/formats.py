"""Files of weights, whatever wrote them: the form is told from the content, never from the name of the file."""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import safetensors

from cxrjax.pretrained import keras_weights, safetensors_file, torch_pth
from cxrjax.runtime.text import printable

# Put before every name by PyTorch's DataParallel, and by those who wrap a network in another.
_PREFIXES = ("module.", "model.", "net.")
_MOST_BYTES = 2**31  # of all arrays; those of the largest network here, VGG19, take 0.6 GB
_REASON = 500  # characters of a reason that a library gives

_T = TypeVar("_T")


class WeightFormatError(ValueError):
    """A file that no weights can be read from.

    Attributes:
        path: the file.
        reason: why, in one line.
    """

    def __init__(self, path: str | os.PathLike, reason: str):
        reason = printable(reason)
        super().__init__(f"{printable(path)}: {reason}")
        self.path, self.reason = path, reason


def read_weights(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the weights in a file of safetensors, PyTorch (state dict or checkpoint) or Keras (HDF5).

    Time and memory are bounded, by the length of the file and by constants.

    Args:
        path: the file.

    Returns:
        Name -> array. PyTorch's names are freed of what a wrapper put before all of them; Keras's are "layer/weight".

    Raises:
        UnreadableWeights: the file is missing, cut short or malformed, too large, of another form, or would run code.
            Nothing else is raised.
    """
    path = Path(path)
    return _explained(path, lambda: _read(path))


def read_metadata(path: str | os.PathLike) -> dict[str, str]:
    """Return the texts that a safetensors file holds beside its tensors; {} of any other file.

    Raises:
        UnreadableWeights: see `read_weights`.
    """
    path = Path(path)

    def read() -> dict[str, str]:
        return safetensors_file.read_metadata(path) if _is_safetensors(_read_head(path)) else {}

    return _explained(path, read)


def tidy(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the same weights without a prefix that all names share."""
    for prefix in _PREFIXES:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return dict(state)


def _read(path: Path) -> dict[str, np.ndarray]:
    head = _read_head(path)
    if _is_safetensors(head):
        return tidy(safetensors_file.read(path, _MOST_BYTES))
    if head.startswith(b"\x89HDF"):
        return keras_weights.read(path)
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return tidy(torch_pth.read(path, _MOST_BYTES))
    if head.startswith(b"version https://git-lfs"):
        raise WeightFormatError(path, "this is a pointer of Git LFS, and the weights lie elsewhere; git lfs pull")
    if head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        raise WeightFormatError(path, "this is a web page, and not the file that it offers; download the file itself")
    if head[257:262] == b"ustar":
        raise WeightFormatError(
            path, "this is a tar archive; unpack it, or, if it is of PyTorch, save it with a newer one"
        )
    if head.startswith(b"\x1f\x8b"):
        raise WeightFormatError(path, "this is compressed by gzip; unpack it first")
    raise WeightFormatError(path, "this is no file of safetensors, PyTorch or Keras")


def _is_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{"  # after the header's length, whose first byte may be any


def _read_head(path: Path) -> bytes:
    """Return the first bytes of a file; anything but a file could block for ever."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise WeightFormatError(path, "this is a folder" if stat.S_ISDIR(mode) else "this is no regular file")
    with path.open("rb") as file:
        return file.read(512)


def _explained(path: Path, read: Callable[[], _T]) -> _T:
    """Return the result of a reader, with anything that it raises turned into `UnreadableWeights`."""
    try:
        return read()
    except WeightFormatError:
        raise
    except OSError as error:
        raise WeightFormatError(path, (error.strerror or str(error)).lower()) from error
    except MemoryError as error:
        raise WeightFormatError(path, "it needs more memory than there is") from error
    except (ValueError, safetensors.SafetensorError) as error:
        raise WeightFormatError(path, f"no weights can be read from it: {printable(error, _REASON)}") from error
    except Exception as error:  # the parsers' own slips on malformed content, which is a fault of the file
        raise WeightFormatError(
            path, f"no weights can be read from it: it is malformed ({printable(repr(error), _REASON)})"
        ) from error
