"""Prepared data sets, from disk to arrays: the one file that knows how they are stored.

On disk: a TFDS data set in array_record files, as `python -m data_prep` writes it (the example form is
`data_prep/example.py`). Out of here: a split as arrays, or radiograph by radiograph where it is too large for that;
every one standardised, in the order it is stored. Who is in which split was decided when the data set was prepared.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import grain
import numpy as np
import tensorflow_datasets as tfds
from ml_collections import ConfigDict
from tqdm import tqdm

from cxrjax.data import preprocessing
from cxrjax.data.batch import LUNGS_KNOWN, STRUCTURES_KNOWN, RadiographBatch, hash_images
from cxrjax.io import images, lesions_csv, limits, prepared, radiograph
from cxrjax.io.borders import Borders
from cxrjax.io.crop import Crop, cut
from cxrjax.io.errors import UnreadableImage
from cxrjax.io.prepared import MissingData as MissingData
from cxrjax.io.prepared import as_text as _text

_KINDS = {"structures": STRUCTURES_KNOWN, "lungs": LUNGS_KNOWN, "": -1}  # of masks, by their names in a data set
_WORDS = ("path", "patient_id", "source", "label", "view", "sex", "mask_kind", "format", "color")


class RadiographDataset:
    """A split on disk, or several as one, whose radiographs are read and standardised when they are asked for."""

    def __init__(self, directory: str, split: str, size: int, gamma: float, equalise: bool, borders: str, readers: int):
        """Open it; see `load`.

        Raises:
            MissingData: no data set there, no such split, or nothing in it.
        """
        self._examples = grain.MapDataset.concatenate([grain.MapDataset.source(one) for one in _open(directory, split)])
        self._directory, self._split, self._readers = directory, split, readers
        self._size, self._gamma, self._equalise = size, gamma, equalise
        self._borders = borders

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, row: int) -> dict[str, Any]:
        """One radiograph: what Split has of it, by "image", "mask", "kind", "label" and so on. Any thread may ask.

        Raises:
            UnreadableRadiograph: it does not decode.
        """
        stored, picture = self._decode(row)
        borders = preprocessing.find_borders(picture, self._borders)
        mask, marked = (self._standardise_mask(stored[name], picture, borders.crop) for name in ("mask", "lesions"))
        return {
            "path": _text(stored["path"]),
            "patient": _text(stored["patient_id"]),
            "source": _text(stored["source"]),
            "label": _text(stored["label"]),
            "view": _text(stored["view"]),
            "sex": _text(stored["sex"]),
            "age": stored["age"],
            "image": self._standardise(picture, borders),
            "mask": np.zeros((self._size, self._size), np.uint8) if mask is None else mask,
            "kind": _KINDS[_text(stored["mask_kind"])],
            "lesions": None if marked is None else marked > 0,
            "extent": _measure(picture, stored["spacing"], borders.crop),
        }

    def image(self, row: int) -> np.ndarray:
        """The picture alone of one radiograph, as in Split; likewise."""
        _, picture = self._decode(row)
        return self._standardise(picture, preprocessing.find_borders(picture, self._borders))

    def parts(self, count: int) -> Iterator[RadiographBatch]:
        """All of it, `count` radiographs at a time and in the last part fewer, read some ahead."""
        examples = read_ahead(self.__getitem__, range(len(self)), self._readers, 4 * self._readers)
        shown = iter(tqdm(examples, total=len(self), desc=f"reading {self._split}", unit="radiograph", delay=2))
        for left in range(len(self), 0, -count):
            yield _collect(shown, min(count, left), self._size)

    def take(self, rows: Sequence[int]) -> RadiographBatch:
        """The radiographs at some rows, one or more."""
        examples = read_ahead(self.__getitem__, rows, self._readers, 4 * self._readers)
        return _collect(examples, len(rows), self._size)

    @property
    def paths(self) -> list[str]:
        """Paths of all, as in Split; for these all files are gone through once, undecoded."""
        return self._words["path"]

    @property
    def sources(self) -> list[str]:
        """Sources of all, likewise."""
        return self._words["source"]

    @property
    def labels(self) -> list[str]:
        """Labels of all, likewise."""
        return self._words["label"]

    @property
    def kinds(self) -> np.ndarray:
        """What the masks of all tell, as in Split."""
        return np.array([_KINDS[kind] for kind in self._words["mask_kind"]], np.int32)

    @cached_property
    def _words(self) -> dict[str, list[str]]:
        return _load_words(self._directory, self._split, "path", "source", "label", "mask_kind")

    def _decode(self, row: int) -> tuple[dict[str, Any], radiograph.Radiograph]:
        """What is stored of one radiograph, and its file decoded."""
        if not 0 <= row < len(self):  # Grain would begin again
            raise IndexError(f"{self._split}: there is no radiograph {row} of {len(self)}")
        stored = self._examples[int(row)]
        # In this process, by all the threads that read: what was prepared has been read before.
        return stored, prepared.decode(stored)

    def _standardise(self, picture: radiograph.Radiograph, borders: Borders) -> np.ndarray:
        return preprocessing.standardize(
            picture, size=self._size, gamma=self._gamma, equalise=self._equalise, borders=borders
        )

    def _standardise_mask(self, png: bytes, picture: radiograph.Radiograph, crop: Crop) -> np.ndarray | None:
        if not png:
            return None
        try:
            decoded = images.decode_values(png, limits.current())
        except UnreadableImage as error:
            raise radiograph.UnreadableRadiograph(picture.path, f"its stored mask: {error.reason}") from error
        return preprocessing.standardize_mask(decoded, picture, crop, size=self._size)


def read_ahead(read: Callable[[int], Any], rows: Sequence[int], readers: int, ahead: int) -> Iterator[Any]:
    """What `read` makes of rows, in their order, up to `ahead` of them before they are asked for, by threads."""
    dataset = grain.MapDataset.source(rows).map(read)
    return iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=readers, prefetch_buffer_size=ahead)))


def load(
    directory: str, split: str, size: int, gamma: float, equalise: bool, borders: str, readers: int
) -> RadiographBatch:
    """Read a split of a prepared data set, or several as one.

    Args:
        directory: where `python -m data_prep` wrote it (the data set's own folder or one above it).
        split: "train", "val", "test" or "fold0", or several of them joined by "+".
        size: side S of the standardised radiographs, in pixels.
        gamma: see `preprocessing.standardise`.
        equalise: likewise.
        borders: how they are found; see `cxrjax.io.borders.find`.
        readers: threads.

    Returns:
        The Split.

    Raises:
        MissingData: no data set there, no such split, or nothing in it.
        UnreadableRadiograph: a stored radiograph does not decode.
    """
    stored = RadiographDataset(directory, split, size, gamma, equalise, borders, readers)
    return next(stored.parts(len(stored)))


def load_split(config: ConfigDict, split: str, directory: str | None = None) -> RadiographBatch:
    """A split as the networks of a config see it, of its own data set or of that in another directory; see `load`."""
    return load(directory or config.data.directory, split, **_seen_by(config))


def open_split(config: ConfigDict, split: str, directory: str | None = None) -> RadiographDataset:
    """A split as `load_as` has it, of which nothing is read yet."""
    return RadiographDataset(directory or config.data.directory, split, **_seen_by(config))


def load_or_stream(config: ConfigDict, split: str) -> RadiographBatch | RadiographDataset:
    """A split as `load_as` has it where its pictures and masks take no more than `data.held`; else as `open_as`."""
    stored = open_split(config, split)
    return next(stored.parts(len(stored))) if fits_in_memory(config, len(stored), config.image.size) else stored


def fits_in_memory(config: ConfigDict, count: int, side: int) -> bool:
    """Whether so many pictures and masks of so many pixels a side take no more than `data.held`."""
    return 2 * count * side**2 / 1e6 <= config.data.held


def results_dirname(config: ConfigDict, split: str, directory: str | None = None) -> str:
    """What results of a split are kept under: its name; of another data set than the config's own, DATA-SPLIT.

    Raises:
        MissingData: there is no data set in the directory.
    """
    if not directory or directory == config.data.directory:
        return split
    found = _find(directory)
    try:
        if Path(found).samefile(_find(config.data.directory)):
            return split
    except MissingData:  # a run elsewhere than its data
        pass
    return f"{dataset_name(directory)}-{split}"


def dataset_name(directory: str) -> str:
    """What a prepared data set is called."""
    return prepared.open_builder(_find(directory)).name


def load_labels(directory: str, split: str) -> tuple[list[str], list[str]]:
    """Sources and labels of the radiographs of a split, without their pictures."""
    words = _load_words(directory, split, "source", "label")
    return words["source"], words["label"]


def stream(directory: str, split: str) -> Iterator[dict[str, Any]]:
    """What is stored of each radiograph of a split (see `data_prep/example.py`), one by one, its files not decoded."""
    for part in _open(directory, split):
        for example in part:
            yield {key: _text(value) if key in _WORDS else value for key, value in example.items()}


def _load_words(directory: str, split: str, *names: str) -> dict[str, list[str]]:
    words: dict[str, list[str]] = {name: [] for name in names}
    for example in stream(directory, split):
        for name, known in words.items():
            known.append(example[name])
    return words


def load_lesions(
    directory: str, split: str, size: int, borders: str, table: Mapping[str, Sequence[Path | lesions_csv.Box]]
) -> np.ndarray:
    """Lesions that a table knows of, in place of the data set's own.

    Args:
        directory: see `load`.
        split: likewise.
        size: likewise.
        borders: likewise.
        table: of `lesions_csv.read`.

    Returns:
        bool [n, S, S] in the order of `load`, empty where the table does not name the radiograph.

    Raises:
        MissingData: it names none of them.
        ValueError: a lesion does not lie on its radiograph, or several radiographs have the path that the table names.
    """
    left, drawn = dict(table), []
    for example in (example for part in _open(directory, split) for example in part):
        path, mask = _text(example["path"]), np.zeros((size, size), bool)
        if path in table:
            if path not in left:  # the table cannot tell them apart
                raise ValueError(f"{directory}: {path} is several radiographs of {split}; take it out of the table")
            picture = prepared.decode(example)
            native = lesions_csv.rasterize(left.pop(path), picture.pixels.shape, path)
            crop = preprocessing.find_borders(picture, borders).crop
            mask = preprocessing.standardize_mask(native, picture, crop, size=size) > 0
        drawn.append(mask)
    if len(left) == len(table):
        raise MissingData(f"{directory}: the table of lesions names no radiograph of {split}")
    return np.stack(drawn)


def list_splits(directory: str) -> list[str]:
    """Names of the splits of a prepared data set that hold anything.

    Raises:
        MissingData: there is no data set.
    """
    return _filled(prepared.open_builder(_find(directory)))


def read_report(directory: str) -> dict[str, Any]:
    """Read what its preparation says of a data set (`report.json`): counts, what was skipped, near-duplicates.

    Raises:
        MissingData: there is no data set, or the report is damaged.
    """
    folder = _find(directory)
    return prepared.read_report(folder) if Path(folder, prepared.REPORT).exists() else {}


def read_patients_known(directory: str) -> dict[str, dict[str, int]] | None:
    """Read what the preparation of a data set knew of its patients.

    Returns:
        Split -> {"radiographs", "patients" (those known), "by_study" (radiographs that only a study keeps together),
        "without" (radiographs of which neither is known)}; None where an older version prepared it.
    """
    return read_report(directory).get("patients_known") or None


def read_card(directory: str) -> dict[str, Any] | None:
    """Read the facts of its data card; None where `python -m data_prep describe` did not write one.

    Raises:
        MissingData: there is no data set, or the card is damaged.
    """
    path = Path(_find(directory)) / "card" / "card.json"
    return prepared.read_json(path) if path.exists() else None


def index_labels(split: RadiographBatch | RadiographDataset, classes: tuple[str, ...]) -> np.ndarray:
    """Labels as indices into `classes`, int32 [n].

    Raises:
        MissingData: a label is not among the classes.
    """
    strange = sorted(set(split.labels) - set(classes))
    if strange:
        raise MissingData(_explain_strange(split, strange[0], classes))
    return np.array([classes.index(label) for label in split.labels], np.int32)


def _explain_strange(split: RadiographBatch | RadiographDataset, label: str, classes: tuple[str, ...]) -> str:
    """Return the sentence on a label that is not among the classes, with the setting that would hold all labels."""
    said = (
        f"{split.paths[split.labels.index(label)]}: its label {label!r} is not among the classes {', '.join(classes)}"
    )
    there = set(split.labels) - {""}
    if not label:
        return f"{said}; leave radiographs without a label out when you prepare the data set"
    ordered = [name for name in classes if name in there] + sorted(there - set(classes))
    written = ",".join(map(repr, ordered)) + ("," if len(ordered) == 1 else "")
    return f'{said}; add --config.classifier.classes="({written})", which names all labels of this split'


def _seen_by(config: ConfigDict) -> dict[str, Any]:
    """How a config has its radiographs read."""
    image = {key: config.image[key] for key in ("size", "gamma", "equalise", "borders")}
    return image | {"readers": config.data.readers}


def _collect(examples: Iterator[dict[str, Any]], count: int, size: int) -> RadiographBatch:
    """The next so many radiographs; each goes to its place as it comes, so that nothing is held twice."""
    images, masks = (np.empty((count, size, size), np.uint8) for _ in range(2))
    lesions, known = None, []
    for row, example in enumerate(islice(examples, count)):
        images[row], masks[row] = example.pop("image"), example.pop("mask")
        marked = example.pop("lesions")
        if marked is not None:
            lesions = np.zeros(images.shape, bool) if lesions is None else lesions
            lesions[row] = marked
        known.append(example)

    def column(key: str) -> list[Any]:
        return [example[key] for example in known]

    return RadiographBatch(
        paths=column("path"),
        patients=column("patient"),
        sources=column("source"),
        labels=column("label"),
        image_ids=hash_images(images),
        images=images,
        masks=masks,
        kinds=np.array(column("kind"), np.int32),
        lesions=lesions,
        views=column("view"),
        sexes=column("sex"),
        ages=np.array(column("age"), np.float32),
        extents=np.array(column("extent"), np.float32),
    )


def _find(directory: str) -> str:
    if not directory:
        raise MissingData("config.data.directory is empty: name a prepared data set")
    infos = [info for info in Path(directory).rglob("dataset_info.json") if "incomplete." not in str(info)]
    found = sorted({str(info.parent) for info in infos})  # a preparation under way is called incomplete.*
    found = prepared.keep_newest(found)
    if not found:
        raise MissingData(f"{directory}: there is no prepared data set here; `python -m data_prep --help` makes one")
    if len(found) > 1:
        raise MissingData(f"{directory}: there is more than one data set here: {', '.join(found)}; name one")
    return found[0]


def _filled(builder: tfds.core.DatasetBuilder) -> list[str]:
    splits = builder.info.splits
    return sorted(name for name in splits if splits[name].num_examples)


def _open(directory: str, split: str) -> list[Sequence[dict[str, Any]]]:
    builder = prepared.open_builder(_find(directory))
    there = _filled(builder)
    for name in split.split("+"):
        if name not in there:
            raise MissingData(f"{directory}: there is no split {name!r} (splits: {', '.join(there) or 'none'})")
    return [prepared.Records(builder, name) for name in split.split("+")]


def _measure(picture: radiograph.Radiograph, spacing: np.ndarray, crop: Crop) -> np.ndarray:
    """Return height and width of the cut radiograph in mm, by the spacing that upstream or its file states."""
    if picture.spacing and np.isnan(spacing).any():
        spacing = np.array(picture.spacing)
    return spacing * cut(picture.pixels, crop).shape
