"""SIIM-ACR: DICOM files, three folders deep or all in one, and a table of run-length masks of pneumothorax."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from data_prep.collections.dicom import read_frontal
from data_prep.collections.spreadsheet import iter_csv
from data_prep.example import Example, encode_png
from data_prep.options import Options
from data_prep.record import PreparationError, Record, RecordError, SkippedRecord
from data_prep.source import Source

FINDING = "Pneumothorax"
TABLES = ("stage_2_train.csv", "train-rle.csv")
FOLDERS = ("dicom-images-train", "stage_2_images", "dicom-images-test")
_IMAGE = "ImageId"
_RUNS = "EncodedPixels"
_EMPTY = "-1"


class SiimAcr(Source[Options]):
    """Frontal radiographs of NIH's ChestX-ray14 with masks of pneumothorax."""

    name = "siim_acr"
    description = "radiographs of NIH's ChestX-ray14 with and without pneumothorax, whose masks are stored as lesions"
    homepage = (
        "https://www.kaggle.com/competitions/siim-acr-pneumothorax-segmentation after accepting its rules; the "
        "data page says how to get the images"
    )
    license = "the competition's rules: non-commercial use, academic research and education"
    size = "about 2 GB"
    coverage = (
        "all of the 12,047 of the first stage's training set that the table lists, or of the second's; images of "
        "the test sets have no published masks and are left out"
    )
    citation = """@misc{zawacki2019siim,
  author = {Zawacki, Anna and Wu, Carol and Shih, George and Elliott, Julia and Fomitchev, Mikhail and others},
  title = {{SIIM-ACR} Pneumothorax Segmentation},
  howpublished = {Kaggle},
  year = {2019},
  url = {https://www.kaggle.com/competitions/siim-acr-pneumothorax-segmentation}
}"""

    def has_findings(self, options: Options) -> bool:
        return True

    def records(self, root: Path, options: Options) -> Iterator[Record | SkippedRecord]:
        table = _find_table(root)
        masks = _read_masks(table)
        files = {path.stem: path for path in _find_images(table.parent)}
        for image, runs in masks.items():
            path = files.get(image)
            if path is None:
                yield SkippedRecord(f"{image}.dcm", "no such file")
                continue
            yield Record(
                id=path.relative_to(table.parent).as_posix(),
                file=path,
                label="pneumothorax" if runs else "no pneumothorax",
                findings={FINDING: float(bool(runs))},
                source=self.name,
                license=self.license,
                payload=tuple(runs),
            )
        for image, path in files.items():
            if image not in masks:
                yield SkippedRecord(
                    path.relative_to(table.parent).as_posix(), f"not in {table.name}: no mask published"
                )

    def read(self, record: Record, options: Options) -> Example:
        example = read_frontal(record)
        if not record.payload:
            return example
        shape = (example.height, example.width)
        lesions = np.maximum.reduce([decode_runs(runs, shape) for runs in record.payload])
        return replace(example, lesions=encode_png(lesions))


def decode_runs(text: str, shape: tuple[int, int]) -> np.ndarray:
    """Decode a mask of the competition: uint8 [height, width], 1 inside.

    Args:
        text: pairs of numbers, the pixels to skip since the end of the last run and the length of a run, along the
            columns of the image one after another (the competition's mask_functions.py).
        shape: height and width of the image.

    Raises:
        RecordError: it is not pairs of numbers, or runs beyond the image.
    """
    height, width = shape
    mask = np.zeros(height * width, np.uint8)
    try:
        numbers = [int(word) for word in text.split()]
    except ValueError as error:
        raise RecordError("its mask is not a list of numbers") from error
    if len(numbers) % 2 or min(numbers, default=0) < 0:
        raise RecordError("its mask is not pairs of a distance and a length")
    position = 0
    for distance, length in zip(numbers[::2], numbers[1::2], strict=True):
        start = position + distance
        position = start + length
        if position > mask.size:
            raise RecordError(f"its mask runs beyond its {width} x {height} pixels")
        mask[start:position] = 1
    return mask.reshape(width, height).T.copy()


def _find_table(root: Path) -> Path:
    for folder in (root, *sorted(root.glob("[!.]*/"))):
        for name in TABLES:
            if (folder / name).is_file() and any((folder / images).is_dir() for images in FOLDERS):
                return folder / name
    raise PreparationError(f"{root}: it has no {' and no '.join(TABLES)} beside {' or '.join(FOLDERS[:2])}")


def _find_images(folder: Path) -> Iterator[Path]:
    for name in FOLDERS:
        yield from sorted((folder / name).rglob("*.dcm"))


def _read_masks(table: Path) -> dict[str, list[str]]:
    """Return image -> its masks, of which an image may have several; [] without a pneumothorax.

    The header has a blank before the second column, as have its cells.
    """
    masks: dict[str, list[str]] = defaultdict(list)
    for row in iter_csv(table):
        cells = {name.strip(): text for name, text in row.items()}
        if _IMAGE not in cells or _RUNS not in cells:
            raise PreparationError(f"{table}: it has no column {_IMAGE} or {_RUNS}")
        runs = masks[cells[_IMAGE].removesuffix(".dcm")]
        if cells[_RUNS] not in ("", _EMPTY) and cells[_RUNS] not in runs:
            runs.append(cells[_RUNS])
    return dict(masks)


SOURCE = SiimAcr()
