"""Keras's HDF5 files (`save_weights("….h5")`, `save("….h5")`) as NumPy arrays; only numbers are read."""

import os
from typing import Any

import h5py
import numpy as np


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The weights of a Keras 2 file, or of a whole model in HDF5 by Keras 2 or 3.

    Args:
        path: the file.

    Returns:
        "layer/weight" -> array, as "conv2d_1/kernel" or "batch_normalization_1/moving_mean", layer after layer as the
        network has them; in Keras's layout (convolutions [kh, kw, C, F]).

    Raises:
        ValueError: it is no such file, is damaged, or refers to other files.
        OSError: it cannot be read.
    """
    try:
        with h5py.File(path) as file:
            group = _open(file, "model_weights") if "model_weights" in file else file
            layers = _read_names(group, "layer_names")
            if not layers:
                raise ValueError("it is an HDF5 file, but not one of Keras's (no layer_names); save the model as .h5")
            return {name: value for layer in layers for name, value in _read_layer(group, layer)}
    except (KeyError, RuntimeError, UnicodeDecodeError) as error:
        raise ValueError(f"it is a damaged HDF5 file ({str(error).strip(chr(39))})") from error


def _read_layer(group: h5py.Group, layer: str) -> list[tuple[str, np.ndarray]]:
    inside = _open(group, layer)
    arrays = []
    for name in _read_names(inside, "weight_names"):
        dataset = inside
        for part in name.split("/"):
            dataset = _open(dataset, part)
        if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
            raise ValueError(f"its weight {layer}/{name} does not lie in the file itself")
        name = name.partition(":")[0]
        arrays.append((name if "/" in name else f"{layer}/{name}", dataset[()]))
    return arrays


def _open(group: h5py.Group, name: str) -> Any:
    """What a name stands for in a group; a link out of the file is refused."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"its part {name} does not lie in the file itself")
    return group[name]


def _read_names(group: h5py.Group, attribute: str) -> list[str]:
    """A list of names; Keras cuts one that is too long for HDF5 into `attribute0`, `attribute1` and so on."""
    lists = [attribute] if attribute in group.attrs else []
    while f"{attribute}{len(lists)}" in group.attrs:
        lists.append(f"{attribute}{len(lists)}")
    return [name.decode() if isinstance(name, bytes) else name for key in lists for name in group.attrs[key]]
