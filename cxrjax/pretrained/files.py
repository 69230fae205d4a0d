"""Files of weights, whatever wrote them: the form is told from the content, never from the name of the file."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from cxrjax.pretrained import keras, pth

# Put before every name by PyTorch's DataParallel, and by those who wrap a network in another.
_PREFIXES = ("module.", "model.", "net.")


class UnreadableWeights(ValueError):
    """A file that no weights can be read from.

    Attributes:
        path: the file.
        reason: why, in words.
    """

    def __init__(self, path: str | os.PathLike, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason


def read_weights(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The weights in a file of safetensors, PyTorch (state dict or checkpoint) or Keras (HDF5).

    Args:
        path: the file.

    Returns:
        Name -> array. PyTorch's names are freed of what a wrapper put before all of them; Keras's are "layer/weight".

    Raises:
        UnreadableWeights: the file is missing, cut short or malformed, of another form, or would run code.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(24)
        if head[8:9] == b"{":  # after the header's length, whose first byte may be any
            return tidy(safetensors.numpy.load_file(path))
        if head.startswith(b"\x89HDF"):
            return keras.read(path)
        if head.startswith((b"PK\x03\x04", b"\x80")):
            return tidy(pth.read(path))
    except OSError as error:
        raise UnreadableWeights(path, (error.strerror or str(error)).lower()) from error
    except (ValueError, safetensors.SafetensorError) as error:
        raise UnreadableWeights(path, f"no weights can be read from it: {error}") from error
    if head.startswith(b"version https://git-lfs"):
        raise UnreadableWeights(path, "this is a pointer of Git LFS, and the weights lie elsewhere; git lfs pull")
    raise UnreadableWeights(path, "this is no file of safetensors, PyTorch or Keras")


def read_metadata(path: str | os.PathLike) -> dict[str, str]:
    """What a safetensors file says of itself; {} of any other file."""
    path = Path(path)
    with path.open("rb") as file:
        head = file.read(9)
        if head[8:] != b"{":
            return {}
        file.seek(8)
        header = json.loads(file.read(int.from_bytes(head[:8], "little")))
    return header.get("__metadata__", {})


def tidy(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same without a prefix that all names share."""
    for prefix in _PREFIXES:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return dict(state)
