"""Prepared data sets, as `python -m data_prep` writes them."""

import os

from cxrjax.data import tfds_store
from cxrjax.data.dataset import RadiographDataset
from cxrjax.data.image_input import InputSpec

__all__ = ["RadiographDataset", "list_splits", "load"]

PathLike = str | os.PathLike[str]


def load(
    directory: PathLike, split: str = "train", *, spec: InputSpec | None = None, num_threads: int = 2
) -> RadiographDataset:
    """Open a split of a prepared data set; its radiographs are read and preprocessed on access.

    Args:
        directory: the data set's folder, or one above it.
        split: "train", "val", "test", "fold0", or several joined by "+".
        spec: how radiographs are preprocessed, as `model.spec.input`; None for the defaults.
        num_threads: threads that read ahead.

    Returns:
        The data set: `len(dataset)`, `dataset[i]` (a dict), `dataset.labels`.

    Raises:
        DatasetError: there is no data set, no such split, or nothing in it.

    Examples:
        >>> import cxrjax as cx
        >>> dataset = cx.datasets.load("data/phantom", "test", spec=cx.InputSpec(size=96))
        >>> len(dataset) == len(dataset.labels)
        True
        >>> dataset[0]["image"].shape
        (96, 96)
    """
    spec = InputSpec() if spec is None else spec
    return RadiographDataset(
        os.fspath(directory),
        split,
        size=spec.size,
        gamma=spec.gamma,
        equalize=spec.equalize,
        borders=spec.borders,
        num_threads=num_threads,
    )


def list_splits(directory: PathLike) -> list[str]:
    """Return the names of the splits of a prepared data set that hold anything, sorted.

    Raises:
        DatasetError: there is no data set.

    Examples:
        >>> import cxrjax as cx
        >>> cx.datasets.list_splits("data/phantom")
        ['test', 'train', 'val']
    """
    return tfds_store.list_splits(os.fspath(directory))
