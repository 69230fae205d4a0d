"""Reader and writer of safetensors files, including types that NumPy does not have."""

import math
import os
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from cxrjax.pretrained import safetensors_header
from cxrjax.runtime import atomic_files
from cxrjax.runtime.text import SHORT_LENGTH, printable

_TYPES = {
    "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "U16": np.uint16, "I16": np.int16, "U32": np.uint32,
    "I32": np.int32, "U64": np.uint64, "I64": np.int64, "F16": np.float16, "BF16": jnp.bfloat16, "F32": np.float32,
    "F64": np.float64, "F8_E4M3": jnp.float8_e4m3fn, "F8_E5M2": jnp.float8_e5m2, "F8_E8M0": jnp.float8_e8m0fnu,
    "F8_E4M3FNUZ": jnp.float8_e4m3fnuz, "F8_E5M2FNUZ": jnp.float8_e5m2fnuz,
}  # fmt: skip


def read(path: Path, max_bytes: int) -> dict[str, np.ndarray]:
    """Read all tensors of a file.

    Args:
        path: the file.
        max_bytes: limit of the total size of the tensors.

    Returns:
        Name -> array, with the types of the file, but float32 for float8.

    Raises:
        ValueError, safetensors.SafetensorError: the file is truncated, malformed or too large, or has a type that is
            not supported.
        OSError: the file cannot be read.
    """
    header = safetensors_header.read(path)
    header.pop("__metadata__", None)
    for name, tensor in header.items():
        if tensor["dtype"] not in _TYPES:
            raise ValueError(
                f"its tensor {printable(name, SHORT_LENGTH)} has the type {tensor['dtype']}, which is not supported; "
                "save it as F32, F16 or BF16"
            )
    if sum(map(_count_bytes, header.values())) > max_bytes:
        raise ValueError(f"its tensors are larger than {max_bytes / 1e9:.0f} GB, far more than any network here has")
    with path.open("rb") as file:
        data_start = 8 + int.from_bytes(file.read(8), "little")
        arrays = {}
        for name, tensor in header.items():
            file.seek(data_start + tensor["data_offsets"][0])
            arrays[name] = _read_array(file.read(_count_bytes(tensor)), tensor)
    return arrays


def write(path: Path, arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Write arrays and metadata as one file, completely or not at all.

    Raises:
        OSError: the file exists already, or cannot be written.
    """
    if os.path.lexists(path):
        raise FileExistsError(f"{path}: there is something here already; name another file, or remove it")
    atomic_files.atomic_write(path, safetensors.numpy.save(arrays, metadata))


def _read_array(data: bytes, tensor: dict[str, Any]) -> np.ndarray:
    array = np.frombuffer(data, _TYPES[tensor["dtype"]]).reshape(tensor["shape"])
    return array.astype(np.float32) if tensor["dtype"].startswith("F8") else array


def _count_bytes(tensor: dict[str, Any]) -> int:
    return math.prod(tensor["shape"]) * np.dtype(_TYPES[tensor["dtype"]]).itemsize
