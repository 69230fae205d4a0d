"""PyTorch's `.pth` and `.pt` files as NumPy arrays, without PyTorch and without running anything of the file.

Both forms that `torch.save` has written: a zip archive (since PyTorch 1.6) and pickles one after another (before).
"""

import itertools
import math
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import jax.numpy as jnp
import numpy as np

from cxrjax.pretrained import safe_unpickle
from cxrjax.runtime.text import SHORT, enumerate_names, printable

# Where checkpoints keep the weights beside the optimiser's state and the epoch: Oh et al. 2020 say model_state_dict.
STATE_KEYS = ("model_state_dict", "state_dict", "model", "net", "network", "weights")

_TYPES = {
    "FloatStorage": np.float32, "DoubleStorage": np.float64, "HalfStorage": np.float16,
    "BFloat16Storage": jnp.bfloat16, "LongStorage": np.int64, "IntStorage": np.int32, "ShortStorage": np.int16,
    "CharStorage": np.int8, "ByteStorage": np.uint8, "BoolStorage": np.bool_,
}  # fmt: skip
# What a checkpoint's epoch, scores and schedule are made of: read over, since only tensors are wanted.
_PASSED_OVER = (
    "numpy.dtype", "numpy.ndarray", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct", "_codecs.encode", "torch.device",
    "torch.Size", "collections.Counter", "__builtin__.dict", "builtins.dict",
)  # fmt: skip
_DEEPEST = 4  # keys of STATE_KEYS, one inside the other, that weights may lie under
_MOST_NAMES = 10  # that an error message lists
_ENCRYPTED = 1  # flag of a part of a zip archive
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


class Storage(NamedTuple):
    """A run of numbers in the file, which tensors are views of."""

    key: str
    dtype: np.dtype
    count: int


class Tensor(NamedTuple):
    """A view of a storage: offset and strides in numbers, not bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(path: str | os.PathLike, most_bytes: int) -> dict[str, np.ndarray]:
    """Read the weights of a state dict, or of a checkpoint that holds one under a key of STATE_KEYS.

    Args:
        path: the file.
        most_bytes: the tensors take no more than that together.

    Returns:
        Name -> array, in the file's own types; tensors that share numbers in the file share them here. What is no
        tensor is left out.

    Raises:
        ValueError: the file is cut short, malformed or compressed; names anything but tensors; or holds no weights.
        OSError: it cannot be read.
    """
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        zipped = file.read(4) == b"PK\x03\x04"
        file.seek(0)
        return _read_zip(file, size, most_bytes) if zipped else _read_legacy(file, size, most_bytes)


def _read_zip(file: BinaryIO, size: int, most_bytes: int) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(file) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            if any(entry.flag_bits & _ENCRYPTED for entry in entries.values()):
                raise ValueError("its parts are encrypted, as those of a state dict never are")
            # PyTorch never compresses; so nothing in a file is larger than the file, however large it says it is.
            if any(e.compress_type != zipfile.ZIP_STORED or e.file_size != e.compress_size for e in entries.values()):
                raise ValueError("its parts are compressed, as those of a state dict never are")
            if sum(entry.file_size for entry in entries.values()) > size:
                raise ValueError("its parts say that they are larger than the file")
            if "model.weights.h5" in entries:
                raise ValueError("it is a .keras file of Keras 3, which is not read; save the whole model as .h5")
            roots = [name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl")]
            if len(roots) != 1:
                raise ValueError("it is a zip archive, but not one of PyTorch's (no data.pkl)")
            root = roots[0]
            with archive.open(f"{root}data.pkl") as stream:
                state = _find_state(safe_unpickle.load(stream, _BUILDERS, _Storages().note))
            room = most_bytes

            def read_bytes(storage: Storage) -> bytes:
                nonlocal room
                name = f"{root}data/{storage.key}"
                if name not in entries:
                    raise ValueError(f"its part {printable(name, SHORT)} is missing")
                room -= entries[name].file_size
                if room < 0:
                    raise ValueError(_too_large(most_bytes))
                return archive.read(name)

            order = archive.read(f"{root}byteorder") if f"{root}byteorder" in entries else b"little"
            if order not in (b"little", b"big"):
                raise ValueError("its part byteorder says neither little nor big")
            return _materialise(state, read_bytes, swapped=order == b"big")
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise ValueError(f"it is cut short or damaged ({str(error).rstrip('.').lower()})") from error


def _read_legacy(file: BinaryIO, size: int, most_bytes: int) -> dict[str, np.ndarray]:
    storages = _Storages()
    if safe_unpickle.load(file, {}) != _LEGACY_MAGIC:
        raise ValueError("it is a pickle, but not one of PyTorch's")
    safe_unpickle.load(file, {})  # version of the form
    safe_unpickle.load(file, {})  # the machine that wrote it; the numbers are little-endian whatever that was
    state = _find_state(safe_unpickle.load(file, _BUILDERS, storages.note))
    room = most_bytes
    keys = safe_unpickle.load(file, {})
    used = {tensor.storage.key for tensor in state.values()}
    found: dict[str, bytes] = {}
    for key in keys if isinstance(keys, list) else ():
        if not isinstance(key, str) or key not in storages.known:
            raise ValueError("it lists numbers that no tensor has")
        length = int.from_bytes(file.read(8), "little") * storages.known[key].dtype.itemsize
        if file.tell() + length > size:
            raise ValueError("it is cut short")
        if key in used:
            room -= length
            if room < 0:
                raise ValueError(_too_large(most_bytes))
            found[key] = file.read(length)
        else:
            file.seek(length, os.SEEK_CUR)
    if used - found.keys():
        raise ValueError("it is cut short, or damaged")
    return _materialise(state, lambda storage: found[storage.key], swapped=False)


class _Storages:
    """The runs of numbers that a file refers to, each by one type and one length, as `torch.save` has it."""

    def __init__(self) -> None:
        self.known: dict[str, Storage] = {}

    def note(self, reference: Any) -> Storage:
        """Return the storage of a persistent id."""
        storage = _read_storage_id(reference)
        if self.known.setdefault(storage.key, storage) != storage:
            raise ValueError(f"it says of its part {printable(storage.key, SHORT)} that it is of two types or sizes")
        return storage


def _find_state(content: Any) -> Mapping[str, Tensor]:
    """Return the tensors of a state dict, or of the one that a checkpoint holds."""
    for _ in range(_DEEPEST):
        if not isinstance(content, dict):
            raise ValueError(f"it holds no weights by name, but one {type(content).__name__.lower()}")
        # Looked for first: a checkpoint may have tensors beside its weights, such as the best score so far.
        inner = next((content[key] for key in STATE_KEYS if isinstance(content.get(key), dict)), None)
        if inner is None:
            tensors = {n: value for n, value in content.items() if isinstance(n, str) and isinstance(value, Tensor)}
            if tensors:
                return tensors
            names = [str(name) for name in itertools.islice(content, _MOST_NAMES + 1)]
            names += [""] * (len(content) - len(names))  # only counted
            there = enumerate_names(names, _MOST_NAMES) or "nothing"
            raise ValueError(f"it holds no weights under {', '.join(STATE_KEYS)}, but {there}")
        content = inner
    raise ValueError(f"its weights lie under more than {_DEEPEST} keys")


def _materialise(
    state: Mapping[str, Tensor], read_bytes: Callable[[Storage], bytes], swapped: bool
) -> dict[str, np.ndarray]:
    read: dict[str, np.ndarray] = {}  # by the storage's key
    arrays = {}
    for name, tensor in state.items():
        storage = tensor.storage
        if storage.key not in read:
            content = read_bytes(storage)
            if len(content) < storage.count * storage.dtype.itemsize:
                raise ValueError(f"its tensor {printable(name, SHORT)} says that it is larger than what the file holds")
            data = np.frombuffer(content, f"u{storage.dtype.itemsize}", storage.count)
            read[storage.key] = (data.byteswap() if swapped else data).view(storage.dtype)
        _check_bounds(printable(name, SHORT), tensor)
        start = read[storage.key][tensor.offset :]
        strides = [stride * storage.dtype.itemsize for stride in tensor.strides]
        arrays[name] = np.lib.stride_tricks.as_strided(start, tensor.shape, strides, writeable=False)
    return arrays


def _too_large(most_bytes: int) -> str:
    return f"its tensors are larger than {most_bytes / 1e9:.0f} GB, far more than any network here has"


def _check_bounds(name: str, tensor: Tensor) -> None:
    """Every number of a tensor lies in its storage, and there are not more of them than that holds."""
    last = tensor.offset + sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides, strict=True))
    count = math.prod(tensor.shape)
    if count and (last >= tensor.storage.count or count > tensor.storage.count):
        raise ValueError(f"its tensor {name} reaches beyond the numbers that it holds")


def _read_storage_id(reference: Any) -> Storage:
    """("storage", type, key, device, count), and in the older form None, as `torch.save` writes it."""
    match reference if isinstance(reference, tuple) and len(reference) <= 8 else None:
        case ("storage", safe_unpickle.Name("torch", kind), str(key), str(), int(count), *views):
            if kind in _TYPES and count >= 0 and not any(views):
                return Storage(key, np.dtype(_TYPES[kind]), count)
    raise ValueError("it refers to numbers in a way that PyTorch does not")


def _build_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    if not isinstance(storage, Storage) or not isinstance(shape, tuple | list) or not isinstance(strides, tuple | list):
        raise TypeError
    if len(shape) != len(strides) or len(shape) > 32:
        raise TypeError
    numbers = (offset, *shape, *strides)
    if not all(type(n) is int and 0 <= n < 2**48 for n in numbers):
        raise TypeError
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def _build_parameter(tensor: Any, *_: Any) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise TypeError
    return tensor


def _build_dict(*content: Any) -> dict:
    """An OrderedDict: empty, or from pairs as Python 2 wrote it."""
    pairs = content[0] if content and isinstance(content[0], list) else []
    if not all(isinstance(pair, list | tuple) and len(pair) == 2 and safe_unpickle.is_key(pair[0]) for pair in pairs):
        raise TypeError
    return {name: value for name, value in pairs}


def _refuse(*_: Any) -> None:
    raise TypeError  # it is the name of a type, and no function


_BUILDERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _build_dict,
    "collections.defaultdict": _build_dict,
    "torch._utils._rebuild_tensor": _build_tensor,
    "torch._utils._rebuild_tensor_v2": _build_tensor,
    "torch._utils._rebuild_parameter": _build_parameter,
    **{f"torch.{kind}": _refuse for kind in _TYPES},
    **dict.fromkeys(_PASSED_OVER, lambda *_: None),
}
