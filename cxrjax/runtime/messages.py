"""Serialization of values between two processes, one of which is not trusted: decoding a message runs no code.

A message is a head (JSON) followed by blobs. JSON holds None, booleans, numbers, text, lists and dicts with text keys;
bytes and NumPy arrays travel as blobs. Tuples come back as lists.
"""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np

Buffer = bytes | bytearray | memoryview

_BYTES = "bytes"
_ARRAY = "array"
_DICT = "dict"
_MAX_HEAD = 64 * 2**20  # bytes of JSON in a message


class MessageError(Exception):
    """Bytes that are not a message, or a value that cannot be sent."""


def encode(value: Any) -> list[Buffer]:
    """Encode a value.

    Returns:
        The parts of a message, to be written one after the other.

    Raises:
        MessageError: the value contains an object of a type that is not listed in this module's docstring.
    """
    blobs: list[Buffer] = []
    tree = _strip(value, blobs)
    sizes = [memoryview(blob).nbytes for blob in blobs]
    head = json.dumps({"tree": tree, "sizes": sizes}, ensure_ascii=True).encode("ascii")
    return [len(head).to_bytes(8, "little"), head, *blobs]


def decode(read: Callable[[int], bytearray], max_bytes: int) -> Any:
    """Decode the next message of a stream.

    Args:
        read: returns exactly the given number of bytes of the stream.
        max_bytes: maximum size of head and blobs together.

    Raises:
        MessageError: the bytes are not a message, or the message is larger than `max_bytes`.
    """
    length = int.from_bytes(read(8), "little")
    if length > min(_MAX_HEAD, max_bytes):
        raise MessageError(f"a head of {length} bytes")
    try:
        head = json.loads(bytes(read(length)))
        sizes = [int(size) for size in head["sizes"]]
        if min(sizes, default=0) < 0 or sum(sizes) > max_bytes:
            raise MessageError(f"a message of {sum(sizes)} bytes, at most {max_bytes} are read")
        blobs = [read(size) for size in sizes]
        return _restore(head["tree"], blobs)
    except (KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
        raise MessageError("not a message") from error


def _strip(value: Any, blobs: list[Buffer]) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        blobs.append(value)
        return {_BYTES: len(blobs) - 1}
    if isinstance(value, np.generic):
        return _strip(value.item(), blobs)
    if isinstance(value, np.ndarray) and not value.dtype.hasobject and value.dtype.names is None:
        blobs.append(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
        # Extension types such as bfloat16 are identified by their name alone.
        dtype = value.dtype.name if value.dtype.kind == "V" else value.dtype.str
        return {_ARRAY: len(blobs) - 1, "dtype": dtype, "shape": list(value.shape)}
    if isinstance(value, list | tuple):
        return [_strip(item, blobs) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {_DICT: {key: _strip(item, blobs) for key, item in value.items()}}
    raise MessageError(f"a {type(value).__name__} cannot be sent")


def _restore(tree: Any, blobs: list[bytearray]) -> Any:
    if isinstance(tree, list):
        return [_restore(item, blobs) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if _DICT in tree:
        return {key: _restore(item, blobs) for key, item in tree[_DICT].items()}
    if _BYTES in tree:
        return bytes(blobs[tree[_BYTES]])
    dtype = np.dtype(tree["dtype"])
    shape = [int(size) for size in tree["shape"]]
    if dtype.hasobject or min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(blobs[tree[_ARRAY]]):
        raise MessageError("an array of another size than its shape")
    return np.frombuffer(blobs[tree[_ARRAY]], dtype).reshape(shape)
