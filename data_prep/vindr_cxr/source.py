"""VinDr-CXR: train/ID.dicom with the labels and boxes of three readers each, test/ID.dicom with a consensus of five."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.collections.boxes import Box, add_boxes
from data_prep.collections.dicom import read_frontal
from data_prep.collections.locate import find_root
from data_prep.collections.spreadsheet import iter_csv
from data_prep.example import Example
from data_prep.options import Options, option
from data_prep.record import PreparationError, Record, SkippedRecord
from data_prep.source import Source

FINDINGS = (
    "Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture", "Consolidation", "Edema",
    "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity", "Lung cavity", "Lung cyst", "Mediastinal shift",
    "Nodule/Mass", "Pleural effusion", "Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "Rib fracture",
    "Other lesion", "COPD", "Lung tumor", "Pneumonia", "Tuberculosis", "Other disease",
)  # fmt: skip
READERS = ("majority", "soft")
LABELS = {"train": "image_labels_train.csv", "test": "image_labels_test.csv"}
BOXES = {"train": "annotations_train.csv", "test": "annotations_test.csv"}
_FOLDER = "annotations"
_SIDES = ("x_min", "y_min", "x_max", "y_max")
_SPLITS = {"train": "train|val", "test": "test"}
_OTHER = {"Other diseases": "Other disease"}  # spelling of one release


@dataclass(frozen=True)
class VinDrOptions(Options):
    """Options of `VinDrCxr`.

    Attributes:
        readers: one of `READERS`, see `_combine`.
    """

    readers: str = option("majority", "labels by the majority of the readers, or soft: their fraction", choices=READERS)


class VinDrCxr(Source[VinDrOptions]):
    """Radiographs of two hospitals in Hanoi, read by three radiologists each."""

    name = "vindr_cxr"
    description = (
        "frontal radiographs of two hospitals in Vietnam, 27 findings by radiologists, boxes stored as lesions"
    )
    homepage = (
        "https://physionet.org/content/vindr-cxr/1.0.0/, after becoming a credentialed user of PhysioNet (the CITI "
        "course on human research) and signing its data use agreement"
    )
    license = "PhysioNet Credentialed Health Data License 1.5.0"
    size = "about 192 GB"
    coverage = (
        "all 18,000 (DICOM); the test split is upstream's 3,000; upstream has no patients, every image counts as one"
    )
    citation = """@article{nguyen2022vindr,
  author = {Nguyen, Ha Q. and Lam, Khanh and Le, Linh T. and others},
  title = {{VinDr-CXR}: An open dataset of chest {X}-rays with radiologist's annotations},
  journal = {Scientific Data},
  volume = {9},
  pages = {429},
  year = {2022},
  doi = {10.1038/s41597-022-01498-w}
}"""
    options_type = VinDrOptions

    def has_findings(self, options: VinDrOptions) -> bool:
        return True

    def settings(self, options: VinDrOptions) -> dict[str, str]:
        return {"readers": options.readers}

    def records(self, root: Path, options: VinDrOptions) -> Iterator[Record | SkippedRecord]:
        folder = find_root(root, *_SPLITS, _FOLDER)
        for part, split in _SPLITS.items():
            table = folder / _FOLDER / LABELS[part]
            readings: dict[str, list[list[float]]] = defaultdict(list)
            for row in iter_csv(table, "image_id"):
                readings[row["image_id"]].append(_read_labels(row, table))
            boxes = _read_boxes(folder / _FOLDER / BOXES[part])
            for image, labels in readings.items():
                path = f"{part}/{image}.dicom"
                if not (folder / path).is_file():
                    yield SkippedRecord(path, "no such file")
                    continue
                yield Record(
                    id=path,
                    file=folder / path,
                    findings=_combine(labels, options.readers),
                    patient_id=f"vindr-{image}",
                    source=self.name,
                    license=self.license,
                    split=split,
                    payload=tuple(boxes[image]),
                )

    def read(self, record: Record, options: VinDrOptions) -> Example:
        return add_boxes(read_frontal(record), record.payload)


def _read_labels(row: dict[str, str], table: Path) -> list[float]:
    """Return the labels of one reader, in the order of `FINDINGS`."""
    cells = {_OTHER.get(name, name): text for name, text in row.items()}
    try:
        values = [float(cells[name]) for name in FINDINGS]
    except KeyError as error:
        raise PreparationError(f"{table}: it has no column {error.args[0]}") from error
    except ValueError as error:
        raise PreparationError(f"{table}: a label of {row['image_id']} is not 0 or 1") from error
    if not set(values) <= {0.0, 1.0}:
        raise PreparationError(f"{table}: a label of {row['image_id']} is not 0 or 1")
    return values


def _combine(labels: Sequence[Sequence[float]], readers: str) -> dict[str, float]:
    """Return the fraction of the readers who saw each finding ("soft"), or whether more than half did ("majority")."""
    fractions = np.mean(labels, axis=0)
    values = fractions if readers == "soft" else (fractions > 0.5).astype(float)
    return {name: float(value) for name, value in zip(FINDINGS, values, strict=True)}


def _read_boxes(path: Path) -> dict[str, list[Box]]:
    """Return image -> the boxes of all readers; a row without numbers is a reader who drew none."""
    boxes: dict[str, list[Box]] = defaultdict(list)
    for row in iter_csv(path, "image_id", "class_name", *_SIDES):
        if not row["x_min"]:
            continue
        try:
            sides = [float(row[side]) for side in _SIDES]
        except ValueError as error:
            raise PreparationError(f"{path}: a box of {row['image_id']} is not four numbers") from error
        left, top, right, bottom = sides
        boxes[row["image_id"]].append((left, top, right - left, bottom - top))
    return boxes


SOURCE = VinDrCxr()
