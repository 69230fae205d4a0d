"""Keras's HDF5 files (`save_weights("….h5")`, `save("….h5")`) as NumPy arrays; only numbers are read."""

import math
import os
from typing import Any

import h5py
import numpy as np

from cxrjax.runtime.text import SHORT, printable

_NUMBERS = "fiub"  # kinds of NumPy's types
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}
_MOST_NAMES = 100_000  # layers and weights of a file; a network has a thousand
# Weights hardly compress, so a file whose arrays are many times larger than it is holds none.
_LARGEST_RATIO = 4
_ALLOWANCE = 64 * 2**20  # bytes that a file of any length may hold


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the weights of a Keras 2 file, or of a whole model in HDF5 by Keras 2 or 3.

    The HDF5 library may crash or never end on a damaged file: call it through `cxrjax.pretrained.keras_weights.read`.

    Args:
        path: the file.

    Returns:
        "layer/weight" -> array, as "conv2d_1/kernel" or "batch_normalization_1/moving_mean", layer after layer as the
        network has them; in Keras's layout (convolutions [kh, kw, C, F]).

    Raises:
        ValueError: it is no such file, is damaged, refers to other files, or says that it is far larger than it is.
        OSError: it cannot be read.
    """
    room = _ALLOWANCE + _LARGEST_RATIO * os.path.getsize(path)
    arrays: dict[str, np.ndarray] = {}
    try:
        with h5py.File(path) as file:
            group = _open(file, "model_weights") if "model_weights" in file else file
            layers = _read_names(group, "layer_names")
            if not layers:
                raise ValueError(
                    "it is an HDF5 file without Keras's list of layers (layer_names), as a .weights.h5 of Keras 3 is; "
                    "save the whole model as .h5"
                )
            for layer in layers:
                inside = _open(group, layer)
                for name in _read_names(inside, "weight_names"):
                    dataset = _find_dataset(inside, layer, name)
                    room -= math.prod(dataset.shape) * dataset.dtype.itemsize
                    if room < 0:
                        raise ValueError("its weights say that they are far larger than the file")
                    name = name.partition(":")[0]
                    whole = name if "/" in name else f"{layer}/{name}"
                    if whole in arrays:
                        raise ValueError(f"it names the weight {printable(whole, SHORT)} twice")
                    arrays[whole] = np.asarray(dataset[()])
    except (KeyError, RuntimeError, UnicodeDecodeError, TypeError, AttributeError) as error:
        raise ValueError(f"it is a damaged HDF5 file ({str(error).strip(chr(39))})") from error
    return arrays


def _find_dataset(group: h5py.Group, layer: str, name: str) -> h5py.Dataset:
    """Return the array of a weight, of numbers and in the file itself."""
    dataset = group
    for part in name.split("/"):
        dataset = _open(dataset, part)
    called = printable(f"{layer}/{name}", SHORT)
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
        raise ValueError(f"its weight {called} does not lie in the file itself")
    if dataset.shape is None or dataset.dtype.kind not in _NUMBERS or dataset.dtype.shape:
        raise ValueError(f"its weight {called} is no array of numbers")
    settings = dataset.id.get_create_plist()
    filters = {settings.get_filter(i)[0] for i in range(settings.get_nfilters())}
    if not filters <= _FILTERS:  # others are libraries that HDF5 would look for and load
        raise ValueError(
            f"its weight {called} is compressed in a way that is not read; save it by gzip or uncompressed"
        )
    return dataset


def _open(group: Any, name: str) -> Any:
    """Return the part of a group that a name stands for; a link out of the file is refused."""
    link = group.get(name, getlink=True) if isinstance(group, h5py.Group) and name else None
    if link is None:
        raise ValueError(f"it names the part {printable(repr(name), SHORT)}, which is not there")
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"its part {printable(name, SHORT)} does not lie in the file itself")
    return group[name]


def _read_names(group: Any, attribute: str) -> list[str]:
    """Return a list of names; Keras cuts one too long for HDF5 into `attribute0`, `attribute1` and so on."""
    if not isinstance(group, h5py.Group):
        raise ValueError(f"it has no group with {attribute}")
    lists = [attribute] if attribute in group.attrs else []
    while f"{attribute}{len(lists)}" in group.attrs:
        lists.append(f"{attribute}{len(lists)}")
    names: list[str] = []
    for key in lists:
        values = group.attrs[key]
        if not isinstance(values, np.ndarray | list | tuple) or np.ndim(values) != 1:
            raise ValueError(f"its {attribute} is no list of names")
        names += [name.decode() if isinstance(name, bytes) else name for name in values]
    if len(names) > _MOST_NAMES or not all(isinstance(name, str) for name in names):
        raise ValueError(f"its {attribute} is no list of names")
    return names
