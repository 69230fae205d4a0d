"""HDF5 files of Keras, read in a separate process, since the HDF5 library may crash or hang on a damaged file."""

import functools
import os

import numpy as np

from cxrjax.runtime.bounded import BoundedProcess, Bounds, BoundsExceededError, CallError

_READER = "cxrjax.io.keras_h5.read"
BOUNDS = Bounds(max_seconds=20, max_memory=3 * 2**30)  # half a gigabyte of weights takes two seconds


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the weights of a Keras 2 weight file or model file; see `cxrjax.io.keras_h5.read`.

    Raises:
        ValueError: the file has another format, is damaged, refers to other files, or takes too long or too much
            memory.
        OSError: the file cannot be read.
    """
    try:
        return _process().call(_READER, os.fsencode(os.path.abspath(path)))
    except BoundsExceededError as error:
        raise ValueError(f"it {error}") from None
    except CallError as error:
        raise ValueError(error.message) from None


@functools.cache
def _process() -> BoundedProcess:
    """Return the process that reads all such files; it starts at the first call and ends with this process."""
    return BoundedProcess([_READER], BOUNDS)
