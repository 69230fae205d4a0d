"""Header of a safetensors file, read without importing JAX, so that a command line is checked at once."""

import json
from pathlib import Path
from typing import Any

import safetensors

# The library allows 100 MB, which take more than a gigabyte as Python objects; a tensor takes a hundred bytes.
_MAX_BYTES = 16 * 2**20


def read(path: Path) -> dict[str, Any]:
    """Return the checked header of a file: name of a tensor -> its "dtype", "shape" and "data_offsets".

    The entry "__metadata__" has the metadata, if there are any.

    Raises:
        ValueError, safetensors.SafetensorError: the file is truncated or malformed, or its header is too large.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _MAX_BYTES:
            raise ValueError(f"its header is declared to be {length} bytes long, far longer than that of a network")
        text = file.read(length)
    with safetensors.safe_open(path, framework="numpy"):
        pass  # the library checks the types in the header, and that the tensors fill the file without a gap
    return json.loads(text, object_pairs_hook=_reject_duplicates)


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a file: texts by name.

    Raises:
        ValueError, safetensors.SafetensorError, OSError: see `read`.
    """
    return read(path).get("__metadata__") or {}


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object; raise if two entries have the same name, since the first would be lost silently."""
    entries = dict(pairs)
    if len(entries) < len(pairs):
        raise ValueError("its header has two entries of the same name")
    return entries
