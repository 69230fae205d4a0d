"""Reading of Keras's HDF5 files (`save_weights("….h5")`, `save("….h5")`) to NumPy arrays; only numbers are read."""

import math
import os
from typing import Any

import h5py
import numpy as np

from cxrjax.runtime.text import SHORT_LENGTH, printable

_NUMBERS = "fiub"  # NumPy dtype kinds
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}
_MAX_NAMES = 100_000  # layers and weights in a file; a network has about a thousand
# Weights hardly compress: arrays that are many times larger than the file are not weights.
_MAX_RATIO = 4
_ALLOWANCE = 64 * 2**20  # bytes of arrays that are always allowed


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the weights of a Keras 2 weights file, or of a complete model saved in HDF5 by Keras 2 or 3.

    The HDF5 library may crash or hang on a damaged file: call it through `cxrjax.pretrained.keras_weights.read`.

    Args:
        path: the file.

    Returns:
        "layer/weight" -> array, such as "conv2d_1/kernel" or "batch_normalization_1/moving_mean", in the order of the
        network's layers and in Keras's layout (convolutions [kh, kw, C, F]).

    Raises:
        ValueError: it is not such a file, is damaged, refers to other files, or declares arrays far larger than the
            file.
        OSError: it cannot be read.
    """
    remaining_bytes = _ALLOWANCE + _MAX_RATIO * os.path.getsize(path)
    arrays: dict[str, np.ndarray] = {}
    try:
        with h5py.File(path) as file:
            group = _open(file, "model_weights") if "model_weights" in file else file
            layers = _read_names(group, "layer_names")
            if not layers:
                raise ValueError(
                    "it is an HDF5 file without Keras's list of layers (layer_names), such as a .weights.h5 of Keras "
                    "3; save the complete model as .h5"
                )
            for layer in layers:
                layer_group = _open(group, layer)
                for name in _read_names(layer_group, "weight_names"):
                    dataset = _find_dataset(layer_group, layer, name)
                    remaining_bytes -= math.prod(dataset.shape) * dataset.dtype.itemsize
                    if remaining_bytes < 0:
                        raise ValueError("its weights are declared far larger than the file")
                    name = name.partition(":")[0]
                    full_name = name if "/" in name else f"{layer}/{name}"
                    if full_name in arrays:
                        raise ValueError(f"it names the weight {printable(full_name, SHORT_LENGTH)} twice")
                    arrays[full_name] = np.asarray(dataset[()])
    except (KeyError, RuntimeError, UnicodeDecodeError, TypeError, AttributeError) as error:
        raise ValueError(f"it is a damaged HDF5 file ({str(error).strip(chr(39))})") from error
    return arrays


def _find_dataset(group: h5py.Group, layer: str, name: str) -> h5py.Dataset:
    """Return the data set of a weight, which must contain numbers and be stored in the file itself."""
    dataset = group
    for part in name.split("/"):
        dataset = _open(dataset, part)
    quoted_name = printable(f"{layer}/{name}", SHORT_LENGTH)
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
        raise ValueError(f"its weight {quoted_name} is not stored in the file itself")
    if dataset.shape is None or dataset.dtype.kind not in _NUMBERS or dataset.dtype.shape:
        raise ValueError(f"its weight {quoted_name} is not an array of numbers")
    properties = dataset.id.get_create_plist()
    filters = {properties.get_filter(i)[0] for i in range(properties.get_nfilters())}
    if not filters <= _FILTERS:  # HDF5 would load libraries for other filters
        raise ValueError(f"its weight {quoted_name} has an unsupported compression; save it with gzip or uncompressed")
    return dataset


def _open(group: Any, name: str) -> Any:
    """Return a member of a group; a link to another file is refused."""
    link = group.get(name, getlink=True) if isinstance(group, h5py.Group) and name else None
    if link is None:
        raise ValueError(f"it names the part {printable(repr(name), SHORT_LENGTH)}, which does not exist")
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"its part {printable(name, SHORT_LENGTH)} is not stored in the file itself")
    return group[name]


def _read_names(group: Any, attribute: str) -> list[str]:
    """Return a list of names; Keras splits one too long for HDF5 into `attribute0`, `attribute1` and so on."""
    if not isinstance(group, h5py.Group):
        raise ValueError(f"it has no group with {attribute}")
    lists = [attribute] if attribute in group.attrs else []
    while f"{attribute}{len(lists)}" in group.attrs:
        lists.append(f"{attribute}{len(lists)}")
    names: list[Any] = []
    for key in lists:
        values = group.attrs[key]
        if not isinstance(values, np.ndarray | list | tuple) or np.ndim(values) != 1:
            raise ValueError(f"its {attribute} is not a list of names")
        names += [name.decode() if isinstance(name, bytes) else name for name in values]
    if len(names) > _MAX_NAMES or not all(isinstance(name, str) for name in names):
        raise ValueError(f"its {attribute} is not a list of names")
    return names
