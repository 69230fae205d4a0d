"""Radiographs of prepared data sets, from disk to standardized arrays.

A split is loaded as one `RadiographBatch`, or opened as a `RadiographDataset` that reads rows on request where it is
too large for memory. Radiographs are standardized and in the order in which they are stored. The assignment of
radiographs to splits was made when the data set was prepared.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import grain
import numpy as np

from cxrjax.config import Config
from cxrjax.data import preprocessing, tfds_store
from cxrjax.data.batch import (
    LUNGS_KNOWN,
    LUNGS_WITH_HEART_KNOWN,
    STRUCTURES_KNOWN,
    RadiographBatch,
    hash_images,
)
from cxrjax.io import findings, images, lesions_csv, limits, prepared, radiograph
from cxrjax.io.borders import Borders
from cxrjax.io.crop import Crop, Frame, cut
from cxrjax.io.errors import ImageDecodeError
from cxrjax.io.prepared import DatasetError
from cxrjax.io.prepared import as_text as _text
from cxrjax.runtime.progress import progress_bar

# By their names in a data set (`data_prep.example`).
_MASK_TYPES = {
    "structures": STRUCTURES_KNOWN,
    "lungs": LUNGS_KNOWN,
    "lungs_with_heart": LUNGS_WITH_HEART_KNOWN,
    "": -1,
}


class RadiographDataset:
    """Split of a prepared data set, or several splits joined; rows are read and standardized on access."""

    def __init__(
        self,
        directory: str,
        split: str,
        size: int,
        gamma: float,
        equalize: bool,
        borders: str,
        num_threads: int,
        label_map: findings.LabelMap = (),
    ):
        """Open the split; the arguments are those of `load`.

        Raises:
            DatasetError: there is no data set, or no such split, or it is empty.
        """
        records = tfds_store.open_records(directory, split)
        self._records = grain.MapDataset.concatenate([grain.MapDataset.source(part) for part in records])
        self._directory = directory
        self._split = split
        self._num_threads = num_threads
        self._size = size
        self._gamma = gamma
        self._equalize = equalize
        self._borders = borders
        self._label_map = label_map

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, row: int) -> dict[str, Any]:
        """Return one radiograph; thread-safe.

        Returns:
            The columns of `RadiographBatch` for the row: "path", "patient", "source", "label", "view", "sex", "age",
            "image", "mask", "mask_type", "lesions", "fov_mm" and "findings".

        Raises:
            ImageReadError: the stored image or mask cannot be decoded.
        """
        record, scan = self._decode(row)
        borders = preprocessing.find_borders(scan, self._borders)
        mask = self._standardize_mask(record["mask"], scan, borders.crop)
        lesions = self._standardize_mask(record["lesions"], scan, borders.crop)
        label, known_findings = tfds_store.read_labels(record, self._label_map)
        return {
            "path": _text(record["path"]),
            "patient": _text(record["patient_id"]),
            "source": _text(record["source"]),
            "label": label,
            "view": _text(record["view"]),
            "sex": _text(record["sex"]),
            "age": record["age"],
            "image": self._standardize(scan, borders),
            "mask": np.zeros((self._size, self._size), np.uint8) if mask is None else mask,
            "mask_type": _MASK_TYPES[_text(record["mask_kind"])],
            "lesions": None if lesions is None else lesions > 0,
            "fov_mm": _field_of_view(scan, record["spacing"], borders.crop),
            "findings": known_findings,
        }

    def image(self, row: int) -> np.ndarray:
        """Return the standardized image of one radiograph, uint8 [S, S]; thread-safe.

        Raises:
            ImageReadError: the stored image cannot be decoded.
        """
        _, scan = self._decode(row)
        return self._standardize(scan, preprocessing.find_borders(scan, self._borders))

    def frame(self, row: int) -> Frame:
        """Return the frame of the standardized image of one radiograph; thread-safe.

        Raises:
            ImageReadError: the stored image cannot be decoded.
        """
        _, scan = self._decode(row)
        height, width = scan.pixels.shape
        return Frame(height, width, preprocessing.find_borders(scan, self._borders).crop)

    def iter_batches(self, count: int) -> Iterator[RadiographBatch]:
        """Yield all rows in order, `count` radiographs at a time, read ahead; the last batch may be smaller."""
        examples = read_rows(self.__getitem__, range(len(self)), self._num_threads, 4 * self._num_threads)
        progress = iter(progress_bar(examples, total=len(self), desc=f"reading {self._split}", unit="radiograph"))
        for remaining in range(len(self), 0, -count):
            yield _collate(progress, min(count, remaining), self._size)

    def select(self, rows: Sequence[int]) -> RadiographBatch:
        """Return the radiographs at the given rows, one or more."""
        examples = read_rows(self.__getitem__, rows, self._num_threads, 4 * self._num_threads)
        return _collate(examples, len(rows), self._size)

    @property
    def paths(self) -> list[str]:
        """Paths of all radiographs; the first access reads all records once, without decoding images."""
        return self._columns["path"]

    @property
    def sources(self) -> list[str]:
        """Sources of all radiographs, read as `paths`."""
        return self._columns["source"]

    @property
    def labels(self) -> list[str]:
        """Labels of all radiographs, read as `paths`."""
        return self._columns["label"]

    @property
    def views(self) -> list[str]:
        """Projections of all radiographs, see `RadiographBatch`; read as `paths`."""
        return self._columns["view"]

    @property
    def sexes(self) -> list[str]:
        """Sexes of all patients, see `RadiographBatch`; read as `paths`."""
        return self._columns["sex"]

    @property
    def ages(self) -> np.ndarray:
        """Ages of all patients in years, float32 [n], NaN where unknown; read as `paths`."""
        return np.array(self._columns["age"], np.float32)

    @property
    def findings(self) -> list[dict[str, float]] | None:
        """Findings of all radiographs, see `RadiographBatch`; read as `paths`."""
        return None if self._columns["findings"][0] is None else self._columns["findings"]

    @property
    def mask_types(self) -> np.ndarray:
        """Mask types of all radiographs, int32 [n], as in `RadiographBatch`; read as `paths`."""
        return np.array([_MASK_TYPES[mask_type] for mask_type in self._columns["mask_kind"]], np.int32)

    @cached_property
    def _columns(self) -> dict[str, list[Any]]:
        names = ("path", "source", "label", "view", "sex", "age", "mask_kind", "findings")
        return tfds_store.load_columns(self._directory, self._split, *names, label_map=self._label_map)

    def _decode(self, row: int) -> tuple[dict[str, Any], radiograph.Radiograph]:
        """Return the record of one radiograph, and its decoded image."""
        if not 0 <= row < len(self):  # Grain would wrap around
            raise IndexError(f"{self._split}: there is no radiograph {row} of {len(self)}")
        record: Any = self._records[int(row)]
        # Decoded in this process, by all reading threads: prepared files have been read once before.
        return record, prepared.decode(record)

    def _standardize(self, scan: radiograph.Radiograph, borders: Borders) -> np.ndarray:
        return preprocessing.standardize(
            scan, size=self._size, gamma=self._gamma, equalize=self._equalize, borders=borders
        )

    def _standardize_mask(self, png: bytes, scan: radiograph.Radiograph, crop: Crop) -> np.ndarray | None:
        if not png:
            return None
        try:
            mask = images.decode_values(png, limits.current())
        except ImageDecodeError as error:
            raise radiograph.ImageReadError(scan.path, f"its stored mask: {error.reason}") from error
        return preprocessing.standardize_mask(mask, scan, crop, size=self._size)


def read_rows(read: Callable[[int], Any], rows: Sequence[int], num_threads: int, ahead: int) -> Iterator[Any]:
    """Yield `read(row)` for each row of a data set in order, read by threads up to `ahead` rows in advance.

    Grain reads any row at any time, and needs all rows beforehand; `cxrjax.runtime.read_ahead.map_ahead` takes a stream
    of items, such as the files to predict, whose number need not be known.
    """
    dataset = grain.MapDataset.source(rows).map(read)
    return iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=ahead)))


def load(
    directory: str,
    split: str,
    size: int,
    gamma: float,
    equalize: bool,
    borders: str,
    num_threads: int,
    label_map: findings.LabelMap = (),
) -> RadiographBatch:
    """Read a split of a prepared data set, or several splits joined, into memory.

    Args:
        directory: where `python -m data_prep` wrote it (the data set's own folder or one above it).
        split: "train", "val", "test" or "fold0", or several of them joined by "+".
        size: side S of the standardized radiographs, in pixels.
        gamma: gamma exponent, see `preprocessing.standardize`.
        equalize: whether to equalize the histogram, see `preprocessing.standardize`.
        borders: method to find the borders, see `cxrjax.io.borders.find`.
        num_threads: number of reading threads.
        label_map: labels or findings that are renamed or merged, see `cxrjax.io.findings.rename`.

    Returns:
        The radiographs of the split, in the order in which they are stored.

    Raises:
        DatasetError: there is no data set, or no such split, or it is empty.
        ImageReadError: a stored radiograph cannot be decoded.
    """
    dataset = RadiographDataset(directory, split, size, gamma, equalize, borders, num_threads, label_map)
    return next(dataset.iter_batches(len(dataset)))


def load_split(config: Config, split: str, directory: str | None = None) -> RadiographBatch:
    """Read a split, preprocessed as a config says, into memory; see `load`.

    Args:
        config: config of a run.
        split: name of the split, or several joined by "+".
        directory: where the data set is; None for the config's own.
    """
    return load(directory or config.data.dir, split, **_preprocessing_options(config))


def open_split(config: Config, split: str, directory: str | None = None) -> RadiographDataset:
    """Open a split without reading it; the arguments are those of `load_split`."""
    return RadiographDataset(directory or config.data.dir, split, **_preprocessing_options(config))


def load_or_stream(config: Config, split: str) -> RadiographBatch | RadiographDataset:
    """Load a split of the config's data set if it fits in memory (see `fits_in_memory`); open it otherwise."""
    dataset = open_split(config, split)
    if fits_in_memory(config, len(dataset), config.image.size):
        return next(dataset.iter_batches(len(dataset)))
    return dataset


def fits_in_memory(config: Config, count: int, side: int) -> bool:
    """Return whether `count` images and masks of `side` x `side` pixels take at most `data.cache_limit_mb` MB."""
    return 2 * count * side**2 / 1e6 <= config.data.cache_limit_mb


def common_splits(first: str, second: str) -> list[str]:
    """Return the names that are in both of two splits of a data set, each a name or several joined by "+"."""
    return sorted(set(first.split("+")) & set(second.split("+")))


def load_lesions(
    directory: str, split: str, size: int, borders: str, table: Mapping[str, Sequence[Path | lesions_csv.Box]]
) -> np.ndarray:
    """Draw the lesion masks of a table, which replace those of the data set.

    Args:
        directory: where the data set is, see `load`.
        split: name of the split, or several joined by "+".
        size: side S of the masks, in pixels.
        borders: method to find the borders, see `cxrjax.io.borders.find`.
        table: lesions by path, as `lesions_csv.read` returns them.

    Returns:
        bool [n, S, S] in the order of `load`, False where the table does not name the radiograph.

    Raises:
        DatasetError: the table names no radiograph of the split.
        ValueError: a lesion does not lie on its radiograph, or several radiographs have the path that the table names.
    """
    remaining = dict(table)
    masks = []
    for records in tfds_store.open_records(directory, split):
        for record in records:
            path = _text(record["path"])
            mask = np.zeros((size, size), bool)
            if path in table:
                if path not in remaining:  # several radiographs have this path, and the table has only the path
                    raise ValueError(f"{directory}: {path} is several radiographs of {split}; take it out of the table")
                scan = prepared.decode(record)
                native = lesions_csv.rasterize(remaining.pop(path), scan.pixels.shape, path)
                crop = preprocessing.find_borders(scan, borders).crop
                mask = preprocessing.standardize_mask(native, scan, crop, size=size) > 0
            masks.append(mask)
    if len(remaining) == len(table):
        raise DatasetError(f"{directory}: the table of lesions names no radiograph of {split}")
    return np.stack(masks)


def _preprocessing_options(config: Config) -> dict[str, Any]:
    """Return the arguments of `load` that a config determines."""
    return {
        "size": config.image.size,
        "gamma": config.image.gamma,
        "equalize": config.image.equalize,
        "borders": config.image.borders,
        "num_threads": config.data.num_threads,
        "label_map": config.data.label_map,
    }


def _collate(examples: Iterator[dict[str, Any]], count: int, size: int) -> RadiographBatch:
    """Collect the next `count` examples; each is copied to its row as it arrives, so that memory holds it once."""
    pixels = np.empty((count, size, size), np.uint8)
    masks = np.empty((count, size, size), np.uint8)
    lesions = None
    metadata = []
    for row, example in enumerate(islice(examples, count)):
        pixels[row] = example.pop("image")
        masks[row] = example.pop("mask")
        lesion_mask = example.pop("lesions")
        if lesion_mask is not None:
            lesions = np.zeros(pixels.shape, bool) if lesions is None else lesions
            lesions[row] = lesion_mask
        metadata.append(example)

    def column(key: str) -> list[Any]:
        return [example[key] for example in metadata]

    return RadiographBatch(
        paths=column("path"),
        patients=column("patient"),
        sources=column("source"),
        labels=column("label"),
        image_ids=hash_images(pixels),
        images=pixels,
        masks=masks,
        mask_types=np.array(column("mask_type"), np.int32),
        lesions=lesions,
        views=column("view"),
        sexes=column("sex"),
        ages=np.array(column("age"), np.float32),
        fov_mm=np.array(column("fov_mm"), np.float32),
        findings=None if metadata[0]["findings"] is None else column("findings"),
    )


def _field_of_view(scan: radiograph.Radiograph, spacing: np.ndarray, crop: Crop) -> np.ndarray:
    """Return height and width of the cropped radiograph in mm, by the pixel spacing of the data set or of its file."""
    if scan.spacing and np.isnan(spacing).any():
        spacing = np.array(scan.spacing)
    return spacing * cut(scan.pixels, crop).shape
