"""NIH ChestX-ray14: images_001 to images_012, or one folder images; a table; lists of the splits; boxes."""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cxrjax.io.findings import SEPARATOR
from data_prep.collections.boxes import Box, add_boxes
from data_prep.collections.dicom import parse_age
from data_prep.collections.locate import find_root
from data_prep.collections.spreadsheet import iter_csv
from data_prep.collections.upstream_paths import file_name
from data_prep.example import UNKNOWN, Example
from data_prep.options import Options
from data_prep.reader import read_example
from data_prep.record import PreparationError, Record, SkippedRecord
from data_prep.source import Source

FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip
NO_FINDING = "No Finding"
TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
TRAINING = "train_val_list.txt"
TEST = "test_list.txt"
BOXES = "BBox_List_2017.csv"
_BOX_COLUMNS = ("Bbox [x", "y", "w", "h]")
_SIZE_COLUMNS = ("OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x", "y]")


class NihChestXray14(Source[Options]):
    """Frontal radiographs with fourteen findings that were mined from reports."""

    name = "nih_chestxray14"
    description = "radiographs of NIH's Clinical Center, 14 findings by text mining, boxes of 880 stored as lesions"
    homepage = "https://nihcc.app.box.com/v/ChestXray-NIHCC, or https://www.kaggle.com/datasets/nih-chest-xrays/data"
    license = "NIH Clinical Center: free use with a link to the source and the citation"
    size = "42 GB"
    coverage = "all 112,120 of 30,805 patients, all frontal; the test split is upstream's, 25,596 of 2,797 patients"
    kaggle = "nih-chest-xrays/data"
    citation = """@inproceedings{wang2017chestxray8,
  author = {Wang, Xiaosong and Peng, Yifan and Lu, Le and Lu, Zhiyong and Bagheri, Mohammadhadi and Summers, Ronald M.},
  title = {{ChestX-ray8}: Hospital-Scale Chest X-Ray Database and Benchmarks on Weakly-Supervised Classification and
    Localization of Common Thorax Diseases},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  pages = {3462--3471},
  year = {2017},
  doi = {10.1109/CVPR.2017.369}
}"""

    def has_findings(self, options: Options) -> bool:
        return True

    def records(self, root: Path, options: Options) -> Iterator[Record | SkippedRecord]:
        folder = find_root(root, TRAINING, TEST)
        table = next((folder / name for name in TABLES if (folder / name).exists()), None)
        if table is None:
            raise PreparationError(f"{folder}: it has no {TABLES[0]}")
        splits = _read_list(folder / TRAINING, "train|val") | _read_list(folder / TEST, "test")
        boxes = _read_boxes(folder / BOXES)
        files = {path.name: path for path in _find_images(folder)}
        listed: set[str] = set()
        for row in iter_csv(table, "Image Index", "Finding Labels", "Patient ID", "View Position"):
            name = file_name(row["Image Index"])
            reason = ""
            if name in listed:
                reason = f"listed a second time in {table.name}"
            elif name not in splits:
                reason = f"in neither {TRAINING} nor {TEST}"
            elif name not in files:
                reason = "no such file"
            listed.add(name)
            if reason:
                yield SkippedRecord(name, reason)
                continue
            yield Record(
                id=name,
                file=files[name],
                findings=_read_findings(row["Finding Labels"], table),
                upstream_label=row["Finding Labels"],
                patient_id=f"nih-{row['Patient ID'].zfill(8)}",
                source=self.name,
                view=row["View Position"],
                sex=row.get("Patient Gender", ""),
                age=parse_age(row.get("Patient Age", "")),
                license=self.license,
                split=splits[name],
                payload=(_read_scale(row), tuple(boxes[name])),
            )

    def read(self, record: Record, options: Options) -> Example:
        example = read_example(record)
        (row_extent, column_extent), boxes = record.payload
        spacing = (row_extent / example.height, column_extent / example.width)
        if not math.isnan(sum(spacing)):
            example = replace(example, spacing=spacing)
        return add_boxes(example, boxes)


def _read_list(path: Path, split: str) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PreparationError(f"{path}: {error}") from error
    return {file_name(line.strip()): split for line in lines if line.strip()}


def _find_images(folder: Path) -> Iterator[Path]:
    for part in sorted([*folder.glob("images_*/images"), *folder.glob("images"), *folder.glob("images/images")]):
        yield from part.glob("*.png")


def _read_findings(text: str, table: Path) -> dict[str, float]:
    """Return all fourteen findings of "Effusion|Mass" or "No Finding", which are positive or negative."""
    names = {name.strip() for name in text.split(SEPARATOR)} - {NO_FINDING, ""}
    if unknown := names - set(FINDINGS):
        raise PreparationError(f"{table}: {sorted(unknown)[0]!r} is not one of the 14 findings")
    return {name: float(name in names) for name in FINDINGS}


def _read_scale(row: dict[str, str]) -> tuple[float, float]:
    """Return the height and the width of the original image in mm; the published one is scaled to 1024 pixels."""
    try:
        sizes = [float(row[column]) for column in _SIZE_COLUMNS]
    except (KeyError, ValueError):
        return UNKNOWN, UNKNOWN
    width, height, spacing_x, spacing_y = sizes
    return height * spacing_y, width * spacing_x


def _read_boxes(path: Path) -> dict[str, list[Box]]:
    """Return image -> boxes in pixels of the published image; no box if there is no file."""
    boxes: dict[str, list[Box]] = defaultdict(list)
    if not path.is_file():
        return boxes
    for row in iter_csv(path, "Image Index", "Finding Label", *_BOX_COLUMNS):
        try:
            boxes[file_name(row["Image Index"])].append(tuple(float(row[column]) for column in _BOX_COLUMNS))
        except ValueError as error:
            raise PreparationError(f"{path}: a box of {row['Image Index']} is not four numbers") from error
    return boxes


SOURCE = NihChestXray14()
