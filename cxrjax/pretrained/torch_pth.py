"""Reader of PyTorch's `.pth` and `.pt` files, without PyTorch and without executing code in the file.

It reads both formats of `torch.save`: a zip archive (since PyTorch 1.6) and a sequence of pickles (before). The file
has a state dict, a checkpoint, or a whole network (`torch.save(model)`), of which the parameters and buffers are read.
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

from cxrjax.pretrained import pickled_module, safe_unpickle
from cxrjax.runtime.text import SHORT_LENGTH, enumerate_names, printable

# Keys of checkpoints that hold the weights, beside the optimizer state and the epoch; Oh et al. 2020: model_state_dict.
STATE_KEYS = ("model_state_dict", "state_dict", "model", "net", "network", "weights")

_TYPES = {
    "FloatStorage": np.float32, "DoubleStorage": np.float64, "HalfStorage": np.float16,
    "BFloat16Storage": jnp.bfloat16, "LongStorage": np.int64, "IntStorage": np.int32, "ShortStorage": np.int16,
    "CharStorage": np.int8, "ByteStorage": np.uint8, "BoolStorage": np.bool_,
}  # fmt: skip
# Types of a checkpoint's epoch, scores and schedule; they are skipped, since only tensors are read.
_SKIPPED = (
    "numpy.dtype", "numpy.ndarray", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct", "_codecs.encode", "torch.device",
    "torch.Size", "collections.Counter", "__builtin__.dict", "builtins.dict", "__builtin__.set", "builtins.set",
)  # fmt: skip
_MAX_DEPTH = 4  # nested keys of STATE_KEYS
_MAX_NAMES = 10  # in an error message
_ENCRYPTED = 1  # flag of a member of a zip archive
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


class Storage(NamedTuple):
    """Contiguous numbers in the file, of which tensors are views."""

    key: str
    dtype: np.dtype
    size: int  # number of elements


class Tensor(NamedTuple):
    """View of a storage; offset and strides count numbers instead of bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(path: str | os.PathLike, max_bytes: int) -> dict[str, np.ndarray]:
    """Read the weights of a state dict, of a checkpoint that contains one under a key of STATE_KEYS, or of a network.

    Args:
        path: the file.
        max_bytes: limit of the total size of the tensors.

    Returns:
        Name -> array, with the types of the file. Tensors that share a storage in the file share memory. Values other
        than tensors are left out.

    Raises:
        ValueError: the file is truncated, malformed or compressed, refers to other objects than tensors, or contains no
            weights.
        OSError: the file cannot be read.
    """
    return _read(path, max_bytes, find_weights)


def read_label_names(path: str | os.PathLike) -> list[str]:
    """Return the names of the outputs that a whole network has as an attribute; [] of any other file.

    torchxrayvision has them as `pathologies` and `targets`; the name of an unused output is "".

    Raises:
        ValueError, OSError: see `read`.
    """
    names: list[str] = []

    def keep_names(content: Any) -> dict[str, Tensor]:
        names.extend(pickled_module.label_names(content))
        return {}

    _read(path, 0, keep_names)
    return names


def _read(
    path: str | os.PathLike, max_bytes: int, select: Callable[[Any], Mapping[str, Tensor]]
) -> dict[str, np.ndarray]:
    """Read the tensors that a function selects from the content of the pickle."""
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        is_zip = file.read(4) == b"PK\x03\x04"
        file.seek(0)
        read_format = _read_zip if is_zip else _read_legacy
        return read_format(file, size, max_bytes, select)


def _read_zip(
    file: BinaryIO, size: int, max_bytes: int, select: Callable[[Any], Mapping[str, Tensor]]
) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(file) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            if any(entry.flag_bits & _ENCRYPTED for entry in entries.values()):
                raise ValueError("its parts are encrypted, unlike those of a state dict")
            # PyTorch never compresses; the members of an archive are thus never larger than the file.
            if any(e.compress_type != zipfile.ZIP_STORED or e.file_size != e.compress_size for e in entries.values()):
                raise ValueError("its parts are compressed, unlike those of a state dict")
            if sum(entry.file_size for entry in entries.values()) > size:
                raise ValueError("its parts are declared to be larger than the file")
            if "model.weights.h5" in entries:
                raise ValueError("it is a .keras file of Keras 3, which is not supported; save the whole model as .h5")
            roots = [name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl")]
            if len(roots) != 1:
                raise ValueError("it is a zip archive, but not one of PyTorch (it has no data.pkl)")
            root = roots[0]
            with archive.open(f"{root}data.pkl") as stream:
                state = select(safe_unpickle.load(stream, _BUILDERS, _StorageTable().register))
            remaining_bytes = max_bytes

            def read_bytes(storage: Storage) -> bytes:
                nonlocal remaining_bytes
                name = f"{root}data/{storage.key}"
                if name not in entries:
                    raise ValueError(f"its part {printable(name, SHORT_LENGTH)} is missing")
                remaining_bytes -= entries[name].file_size
                if remaining_bytes < 0:
                    raise ValueError(_too_large(max_bytes))
                return archive.read(name)

            byte_order = archive.read(f"{root}byteorder") if f"{root}byteorder" in entries else b"little"
            if byte_order not in (b"little", b"big"):
                raise ValueError("its part byteorder is neither little nor big")
            return _to_arrays(state, read_bytes, is_big_endian=byte_order == b"big")
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise ValueError(f"it is cut short or damaged ({str(error).rstrip('.').lower()})") from error


def _read_legacy(
    file: BinaryIO, size: int, max_bytes: int, select: Callable[[Any], Mapping[str, Tensor]]
) -> dict[str, np.ndarray]:
    storages = _StorageTable()
    if safe_unpickle.load(file, {}) != _LEGACY_MAGIC:
        raise ValueError("it is a pickle, but not one of PyTorch")
    safe_unpickle.load(file, {})  # version of the format
    safe_unpickle.load(file, {})  # properties of the machine that wrote it; the numbers are always little-endian
    state = select(safe_unpickle.load(file, _BUILDERS, storages.register))
    remaining_bytes = max_bytes
    keys = safe_unpickle.load(file, {})
    used_keys = {tensor.storage.key for tensor in state.values()}
    contents: dict[str, bytes] = {}
    for key in keys if isinstance(keys, list) else ():
        if not isinstance(key, str) or key not in storages.by_key:
            raise ValueError("it lists numbers that no tensor refers to")
        length = int.from_bytes(file.read(8), "little") * storages.by_key[key].dtype.itemsize
        if file.tell() + length > size:
            raise ValueError("it is cut short")
        if key in used_keys:
            remaining_bytes -= length
            if remaining_bytes < 0:
                raise ValueError(_too_large(max_bytes))
            contents[key] = file.read(length)
        else:
            file.seek(length, os.SEEK_CUR)
    if used_keys - contents.keys():
        raise ValueError("it is cut short, or damaged")
    return _to_arrays(state, lambda storage: contents[storage.key], is_big_endian=False)


class _StorageTable:
    """Storages that a file refers to; all references to a storage must agree in type and length."""

    def __init__(self) -> None:
        self.by_key: dict[str, Storage] = {}

    def register(self, reference: Any) -> Storage | safe_unpickle.Name:
        """Return the storage of a persistent id; of a class, which the older format stores with its code, the name."""
        match reference if isinstance(reference, tuple) and len(reference) == 4 else None:
            case ("module", safe_unpickle.Name() as class_name, _, _):
                return class_name
        storage = _parse_storage_id(reference)
        if self.by_key.setdefault(storage.key, storage) != storage:
            raise ValueError(f"it declares two types or sizes of its part {printable(storage.key, SHORT_LENGTH)}")
        return storage


def find_weights(content: Any) -> Mapping[str, Tensor]:
    """Return the tensors of a state dict or a network, or of the state dict or the network in a checkpoint."""
    for _ in range(_MAX_DEPTH):
        if isinstance(content, safe_unpickle.Name):
            safe_unpickle.require_builder(_BUILDERS, content)
        if isinstance(content, safe_unpickle.Opaque):
            return pickled_module.tensors(content, Tensor)
        if not isinstance(content, dict):
            raise ValueError(f"it contains one {type(content).__name__.lower()} instead of weights by name")
        # Nested dicts come first: a checkpoint may contain tensors beside its weights, such as the best score so far.
        nested = (content.get(key) for key in STATE_KEYS)
        inner = next((value for value in nested if isinstance(value, dict | safe_unpickle.Opaque)), None)
        if inner is None:
            tensors = {n: value for n, value in content.items() if isinstance(n, str) and isinstance(value, Tensor)}
            if tensors:
                return tensors
            names = [str(name) for name in itertools.islice(content, _MAX_NAMES + 1)]
            names += [""] * (len(content) - len(names))  # placeholders, which are only counted
            keys = enumerate_names(names, _MAX_NAMES) or "none"
            raise ValueError(f"it has no weights under {', '.join(STATE_KEYS)}; its keys are {keys}")
        content = inner
    raise ValueError(f"its weights are nested under more than {_MAX_DEPTH} keys")


def _to_arrays(
    state: Mapping[str, Tensor], read_bytes: Callable[[Storage], bytes], is_big_endian: bool
) -> dict[str, np.ndarray]:
    storages: dict[str, np.ndarray] = {}  # by key
    arrays = {}
    for name, tensor in state.items():
        storage = tensor.storage
        itemsize = storage.dtype.itemsize
        if storage.key not in storages:
            content = read_bytes(storage)
            if len(content) < storage.size * itemsize:
                raise ValueError(
                    f"its tensor {printable(name, SHORT_LENGTH)} is declared to be larger than its content"
                )
            words = np.frombuffer(content, f"u{itemsize}", storage.size)
            storages[storage.key] = (words.byteswap() if is_big_endian else words).view(storage.dtype)
        _check_bounds(printable(name, SHORT_LENGTH), tensor)
        values = storages[storage.key][tensor.offset :]
        strides = [stride * itemsize for stride in tensor.strides]
        arrays[name] = np.lib.stride_tricks.as_strided(values, tensor.shape, strides, writeable=False)
    return arrays


def _too_large(max_bytes: int) -> str:
    return f"its tensors are larger than {max_bytes / 1e9:.0f} GB, far more than any network here has"


def _check_bounds(name: str, tensor: Tensor) -> None:
    """Raise if a tensor reaches beyond its storage or has more elements than the storage has numbers."""
    last = tensor.offset + sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides, strict=True))
    count = math.prod(tensor.shape)
    if count and (last >= tensor.storage.size or count > tensor.storage.size):
        raise ValueError(f"its tensor {name} reaches beyond its numbers")


def _parse_storage_id(reference: Any) -> Storage:
    """Parse a persistent id of `torch.save`: ("storage", type, key, device, count), in the older format also None."""
    match reference if isinstance(reference, tuple) and len(reference) <= 8 else None:
        case ("storage", safe_unpickle.Name("torch", type_name), str(key), str(), int(count), *views):
            safe_unpickle.require_builder(_BUILDERS, safe_unpickle.Name("torch", type_name))
            if type_name in _TYPES and count >= 0 and not any(views):
                return Storage(key, np.dtype(_TYPES[type_name]), count)
    raise ValueError("it refers to numbers in a way that PyTorch never uses")


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
    """Build an OrderedDict: empty, or from pairs as written by Python 2."""
    pairs = content[0] if content and isinstance(content[0], list) else []
    if not all(isinstance(pair, list | tuple) and len(pair) == 2 and safe_unpickle.is_key(pair[0]) for pair in pairs):
        raise TypeError
    return {name: value for name, value in pairs}


def _refuse(*_: Any) -> None:
    raise TypeError  # the name of a type, which cannot be called


_BUILDERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _build_dict,
    "collections.defaultdict": _build_dict,
    "torch._utils._rebuild_tensor": _build_tensor,
    "torch._utils._rebuild_tensor_v2": _build_tensor,
    "torch._utils._rebuild_parameter": _build_parameter,
    **{f"torch.{type_name}": _refuse for type_name in _TYPES},
    **dict.fromkeys(_SKIPPED, lambda *_: None),
}
