"""The JSRT database (Shiraishi et al. 2000) with the SCR masks (van Ginneken et al. 2006).

JSRT: `JPCLN001.IMG` to 154 with one nodule each, `JPCNN001.IMG` to 093 without; 2048 x 2048 pixels of 0.175 mm, 16-bit
big-endian. Sex, age and nodules are in `CLNDAT_EN.txt` and `CNNDAT_EN.TXT`. SCR: 1024 x 1024 pixels,
`fold1/masks/heart/JPCLN001.gif`, and so on; odd numbers are in fold 1, even ones in fold 2. Both may be one folder
deeper, as their archives unpack.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from data_prep.collections.ieee8023_labels import read_age
from data_prep.example import UNKNOWN, Example, encode_png
from data_prep.options import Options
from data_prep.record import HEART, LEFT_LUNG, RIGHT_LUNG, PreparationError, Record, SkippedRecord
from data_prep.source import Source

FILE_NAME = re.compile(r"JPC(LN|NN)(\d{3})")
LABELS = {"LN": "nodule", "NN": "normal"}
SIDE = 2048  # pixels
SPACING = 0.175  # mm
CLINICAL = ("CLNDAT_EN.TXT", "CNNDAT_EN.TXT")  # upstream writes the suffixes in different cases


class Patient(NamedTuple):
    """A line of the clinical files; "", NaN and None for unknown ("?")."""

    sex: str = ""
    age: float = UNKNOWN
    diagnosis: str = ""  # "malignant", "benign", "non-nodule"
    nodule: tuple[int, int, float] | None = None  # column and row of its center, pixels; diameter, mm


class JsrtScr(Source[Options]):
    """Fold 2 is the test split, as in SCR; validation images are from fold 1."""

    name = "jsrt_scr"
    description = "JSRT radiographs with and without a lung nodule, SCR masks of heart and both lungs"
    homepage = (
        "register at http://db.jsrt.or.jp/eng.php for the images and the clinical information, and get the masks from "
        "https://www.isi.uu.nl/Research/Databases/SCR/; unpack all into one folder"
    )
    license = "JSRT: research; SCR: research and education, no redistribution, no commercial use"
    size = "about 2 GB unpacked"
    coverage = "247 radiographs: 154 with a nodule (stored as a lesion if its position and size are known), 93 without"
    citation = """@article{shiraishi2000development,
  title = {Development of a digital image database for chest radiographs with and without a lung nodule},
  author = {Shiraishi, Junji and Katsuragawa, Shigehiko and Ikezoe, Junpei and others},
  journal = {American Journal of Roentgenology},
  volume = {174},
  number = {1},
  pages = {71--74},
  year = {2000},
}

@article{vanginneken2006segmentation,
  title = {Segmentation of anatomical structures in chest radiographs using supervised methods: a comparative study on
           a public database},
  author = {van Ginneken, Bram and Stegmann, Mikkel B. and Loog, Marco},
  journal = {Medical Image Analysis},
  volume = {10},
  number = {1},
  pages = {19--40},
  year = {2006},
}"""

    def records(self, root: Path, options: Options) -> Iterator[Record | SkippedRecord]:
        paths = sorted([*root.glob("*"), *root.glob("*/*")])
        images = {path.stem: path for path in paths if path.suffix.upper() == ".IMG" and FILE_NAME.fullmatch(path.stem)}
        if not images:
            raise PreparationError(f"{root}: no JPCLN*.IMG or JPCNN*.IMG of JSRT in it or one folder deeper")
        patients: dict[str, Patient] = {}
        for path in paths:
            if path.name.upper() in CLINICAL:
                patients |= read_patients(path)
        folds = {path.name: path / "masks" for path in paths if path.name in ("fold1", "fold2")}
        with_mask = {path.stem for masks in folds.values() for path in (masks / "heart").glob("JPC*.gif")}
        for name in sorted(images.keys() | patients.keys() | with_mask):
            if name not in images:
                yield SkippedRecord(f"{name}.IMG", "no such file")
                continue
            group = name[3:5]
            fold = "fold1" if int(name[5:]) % 2 else "fold2"
            patient = patients.get(name, Patient())
            yield Record(
                id=images[name].relative_to(root).as_posix(),
                file=images[name],
                label=LABELS[group],
                upstream_label=patient.diagnosis or LABELS[group],
                patient_id=f"jsrt-{name}",
                source=self.name,
                view="PA",
                sex=patient.sex,
                age=patient.age,
                masks={
                    region: folds[fold] / region / f"{name}.gif"
                    for region in (HEART, LEFT_LUNG, RIGHT_LUNG)
                    if fold in folds
                },
                license="research use",
                split="train|val" if fold == "fold1" else "test",
                payload=patient.nodule,
            )

    def read(self, record: Record, options: Options) -> Example:
        example = super().read(record, options)
        return replace(example, lesions=encode_png(draw_nodule(*record.payload))) if record.payload else example


def read_patients(path: Path) -> dict[str, Patient]:
    """Read a clinical file, whose columns differ from upstream's documentation.

    `CLNDAT_EN.txt`: file, subtlety, size (mm), age, sex, x, y, malignant or benign, position, diagnosis.
    `CNNDAT_EN.TXT`: file, age, sex, "non-nodule".
    """
    patients = {}
    for line in path.read_text(encoding="latin-1").splitlines():
        name, *fields = line.split()[:8] or [""]
        name = name.upper().removesuffix(".IMG")
        match = FILE_NAME.fullmatch(name)
        if match and match[1] == "LN" and len(fields) == 7:
            _, size, age, sex, column, row, diagnosis = fields
            is_known = size.isdigit() and column.isdigit() and row.isdigit()
            nodule = (int(column), int(row), float(size)) if is_known else None
            patients[name] = Patient(sex, read_age(age), diagnosis, nodule)
        elif match and match[1] == "NN" and len(fields) >= 3:
            age, sex, diagnosis = fields[:3]
            patients[name] = Patient(sex, read_age(age), diagnosis)
    return patients


def draw_nodule(column: int, row: int, diameter: float) -> np.ndarray:
    """Draw a nodule as a disc: uint8 [2048, 2048], 1 inside; its center in pixels, its diameter in mm."""
    radius = round(diameter / SPACING / 2)
    return cv2.circle(np.zeros((SIDE, SIDE), np.uint8), (column, row), radius, 1, -1)


SOURCE = JsrtScr()
