"""Readers of untrusted files, each as a fuzz target: a function of one file, and the errors it may raise.

A reader passes if it returns or raises one of its documented errors, whatever the bytes are, within the time and the
memory that the harness allows. `python -m tests.fuzz` mutates; `test_corpus.py` replays the inputs that once
broke a reader, which lie in `corpus/NAME/`.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cxrjax.data import dataset, tfds_store
from cxrjax.dicom import source
from cxrjax.dicom.errors import DicomResultError
from cxrjax.dicom.silencing import silence
from cxrjax.io import json_file, lesions_csv, predictions_csv, radiograph
from cxrjax.pretrained.formats import WeightFormatError, read_weights
from cxrjax.runs import run_dir
from data_prep import reader, splits
from data_prep.collections import spreadsheet
from data_prep.download import archive
from data_prep.record import PreparationError, RecordError
from data_prep.table.source import SOURCE as TABLE
from data_prep.table.source import TableOptions

MASK_SHAPE = (64, 64)


@dataclass(frozen=True)
class Target:
    """One reader.

    Attributes:
        read: reads one file.
        errors: exceptions that it may raise.
        suffixes: file name suffixes of its inputs; the first is used for mutated inputs.
    """

    read: Callable[[Path], object]
    errors: tuple[type[Exception], ...]
    suffixes: tuple[str, ...]


def _unpack(path: Path) -> None:
    folder = path.with_name("unpacked")
    try:
        archive.unpack(path, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _read_table(path: Path) -> None:
    list(TABLE.records(path.parent, TableOptions(csv=str(path))))


def _read_source(path: Path) -> None:
    """Read the header that DICOM results refer to."""
    with silence():
        source.parse_source(source.read_source(path))


def _load_config(path: Path) -> None:
    run = path.with_name("run")
    run.mkdir(exist_ok=True)
    shutil.copy(path, run / "config.json")
    run_dir.load_config(run)


def _open_data_set(path: Path) -> None:
    """Open a prepared data set whose features.json is the file."""
    folder = path.with_name("data") / "2.0.0"
    folder.mkdir(parents=True, exist_ok=True)
    info = {"name": "data", "version": "2.0.0", "moduleName": "data_prep.builder", "fileFormat": "array_record"}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    shutil.copy(path, folder / "features.json")
    tfds_store.list_splits(str(folder))


def _read_mask(path: Path) -> None:
    reader.read_label_map(path, "", MASK_SHAPE)


TARGETS = {
    "picture": Target(radiograph.read, (radiograph.ImageReadError,), (".png", ".jpg", ".tif", ".webp", ".bmp", ".npy")),
    "dicom": Target(radiograph.read, (radiograph.ImageReadError,), (".dcm",)),
    "dicom_source": Target(_read_source, (DicomResultError,), (".dcm",)),
    "mask": Target(_read_mask, (RecordError,), (".png",)),
    "pth": Target(read_weights, (WeightFormatError,), (".pth",)),
    "safetensors": Target(read_weights, (WeightFormatError,), (".safetensors",)),
    "h5": Target(read_weights, (WeightFormatError,), (".h5",)),
    "table": Target(_read_table, (PreparationError,), (".csv",)),
    "sheet": Target(spreadsheet.read_xlsx, (PreparationError,), (".xlsx",)),
    "splits": Target(splits.read_table, (PreparationError,), (".csv",)),
    "archive": Target(_unpack, (PreparationError,), (".zip", ".tar.gz")),
    "lesions": Target(lesions_csv.read, (ValueError,), (".csv",)),
    "predictions": Target(predictions_csv.read, (ValueError,), (".csv",)),
    "config": Target(_load_config, (run_dir.RunError, json_file.DamagedFileError), (".json",)),
    "features": Target(_open_data_set, (dataset.DatasetError,), (".json",)),
}
