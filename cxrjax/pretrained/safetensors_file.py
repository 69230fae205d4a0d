"""Files of safetensors as NumPy arrays, the types that NumPy does not have included."""

import json
import math
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors

from cxrjax.runtime.text import SHORT, printable

# The library itself allows 100 MB, which as Python objects is more than a gigabyte; a tensor takes a hundred bytes.
_LONGEST_HEADER = 16 * 2**20
_TYPES = {
    "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "U16": np.uint16, "I16": np.int16, "U32": np.uint32,
    "I32": np.int32, "U64": np.uint64, "I64": np.int64, "F16": np.float16, "BF16": jnp.bfloat16, "F32": np.float32,
    "F64": np.float64, "F8_E4M3": jnp.float8_e4m3fn, "F8_E5M2": jnp.float8_e5m2, "F8_E8M0": jnp.float8_e8m0fnu,
    "F8_E4M3FNUZ": jnp.float8_e4m3fnuz, "F8_E5M2FNUZ": jnp.float8_e5m2fnuz,
}  # fmt: skip


def read(path: Path, most_bytes: int) -> dict[str, np.ndarray]:
    """Read all tensors of a file.

    Args:
        path: the file.
        most_bytes: the tensors take no more than that together.

    Returns:
        Name -> array in the file's own types, but float8 as float32.

    Raises:
        ValueError, safetensors.SafetensorError: it is cut short, malformed, too large, or of a type that is not read.
        OSError: it cannot be read.
    """
    header = _read_header(path)
    header.pop("__metadata__", None)
    for name, tensor in header.items():
        if tensor["dtype"] not in _TYPES:
            raise ValueError(
                f"its tensor {printable(name, SHORT)} is of the type {tensor['dtype']}, which is not read; "
                "save it as F32, F16 or BF16"
            )
    if sum(map(_count_bytes, header.values())) > most_bytes:
        raise ValueError(f"its tensors are larger than {most_bytes / 1e9:.0f} GB, far more than any network here has")
    with path.open("rb") as file:
        data = 8 + int.from_bytes(file.read(8), "little")
        arrays = {}
        for name, tensor in header.items():
            file.seek(data + tensor["data_offsets"][0])
            arrays[name] = _read_array(file.read(_count_bytes(tensor)), tensor)
    return arrays


def read_metadata(path: Path) -> dict[str, str]:
    """Return the texts that a file holds beside its tensors.

    Raises:
        ValueError, safetensors.SafetensorError, OSError: see `read`.
    """
    return _read_header(path).get("__metadata__") or {}


def _read_header(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _LONGEST_HEADER:
            raise ValueError(f"its header says that it is {length} bytes long, and that of a network is far shorter")
        text = file.read(length)
    with safetensors.safe_open(path, framework="numpy"):
        pass  # the library checks the types in the header, and that the tensors fill the file without a gap
    return json.loads(text, object_pairs_hook=_read_object)


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, which of two entries of one name would silently lose the first."""
    entries = dict(pairs)
    if len(entries) < len(pairs):
        raise ValueError("its header names something twice")
    return entries


def _read_array(data: bytes, tensor: dict[str, Any]) -> np.ndarray:
    array = np.frombuffer(data, _TYPES[tensor["dtype"]]).reshape(tensor["shape"])
    return array.astype(np.float32) if tensor["dtype"].startswith("F8") else array


def _count_bytes(tensor: dict[str, Any]) -> int:
    return math.prod(tensor["shape"]) * np.dtype(_TYPES[tensor["dtype"]]).itemsize
