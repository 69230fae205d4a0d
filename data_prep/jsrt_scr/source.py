"""The JSRT database (Shiraishi et al. 2000) with the SCR masks (van Ginneken et al. 2006).

JSRT: `JPCLN001.IMG` to 154 with a nodule each, `JPCNN001.IMG` to 093 without; 2048 x 2048 pixels of 0.175 mm, 16 bit
big-endian. Sex, age and nodules are in `CLNDAT_EN.txt` and `CNNDAT_EN.TXT`. SCR: 1024 x 1024 pixels,
`fold1/masks/heart/JPCLN001.gif`, and so on; odd numbers are in fold 1, even ones in fold 2. Either may lie one folder
down, as their archives unpack.
"""

import re
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from data_prep.collections.ieee8023_labels import read_age
from data_prep.example import UNKNOWN, Example, encode_png
from data_prep.record import HEART, LEFT_LUNG, RIGHT_LUNG, PreparationError, Record, SkippedRecord
from data_prep.source import Source

FORM = re.compile(r"JPC(LN|NN)(\d{3})")
LABELS = {"LN": "nodule", "NN": "normal"}
SIDE, SPACING = 2048, 0.175  # pixels; mm
CLINICAL = ("CLNDAT_EN.TXT", "CNNDAT_EN.TXT")  # upstream spells the endings differently


class Patient(NamedTuple):
    """A line of the clinical files; "", NaN and None where it is not told ("?")."""

    sex: str = ""
    age: float = UNKNOWN
    word: str = ""  # "malignant", "benign", "non-nodule"
    nodule: tuple[int, int, float] | None = None  # column and row of its centre, pixels; diameter, mm


class JsrtScr(Source):
    """Fold 2 is the test split, as SCR means it; validation comes out of fold 1, never out of the test images."""

    name = "jsrt_scr"
    description = "JSRT radiographs with and without a lung nodule, SCR masks of heart and both lungs"
    homepage = (
        "register at http://db.jsrt.or.jp/eng.php for the images and the clinical information, and get the masks as "
        "https://www.isi.uu.nl/Research/Databases/SCR/ says; unpack all into one folder"
    )
    license = "JSRT: research; SCR: research and education, no redistribution, no commercial use"
    size = "about 2 GB unpacked"
    coverage = "247 radiographs: 154 with a nodule (drawn as lesions where its place and size are told), 93 without"
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

    def rows(self, root: Path, options: Namespace) -> Iterator[Record | SkippedRecord]:
        near = sorted([*root.glob("*"), *root.glob("*/*")])
        images = {path.stem: path for path in near if path.suffix.upper() == ".IMG" and FORM.fullmatch(path.stem)}
        if not images:
            raise PreparationError(f"{root}: no JPCLN*.IMG or JPCNN*.IMG of JSRT, in it or one folder down")
        patients = {}
        for path in near:
            if path.name.upper() in CLINICAL:
                patients |= read_patients(path)
        folds = {path.name: path / "masks" for path in near if path.name in ("fold1", "fold2")}
        drawn = {path.stem for masks in folds.values() for path in (masks / "heart").glob("JPC*.gif")}
        for name in sorted(images.keys() | patients.keys() | drawn):
            if name not in images:
                yield SkippedRecord(f"{name}.IMG", "no such file")
                continue
            kind, number = FORM.fullmatch(name).groups()
            fold = "fold1" if int(number) % 2 else "fold2"
            patient = patients.get(name, Patient())
            yield Record(
                id=images[name].relative_to(root).as_posix(),
                file=images[name],
                label=LABELS[kind],
                upstream_label=patient.word or LABELS[kind],
                patient_id=f"jsrt-{name}",
                source=self.name,
                view="PA",
                sex=patient.sex,
                age=patient.age,
                masks={
                    part: folds[fold] / part / f"{name}.gif" for part in (HEART, LEFT_LUNG, RIGHT_LUNG) if fold in folds
                },
                licence="research use",
                split="train|val" if fold == "fold1" else "test",
                payload=patient.nodule,
            )

    def read(self, row: Record, options: Namespace) -> Example:
        example = super().read(row, options)
        return replace(example, lesions=encode_png(draw_nodule(*row.payload))) if row.payload else example


def read_patients(path: Path) -> dict[str, Patient]:
    """Reads a clinical file, whose columns are not those of upstream's guide.

    `CLNDAT_EN.txt`: file, subtlety, size (mm), age, sex, x, y, malignant or benign, place, diagnosis. `CNNDAT_EN.TXT`:
    file, age, sex, "non-nodule".
    """
    patients = {}
    for line in path.read_text(encoding="latin-1").splitlines():
        name, *told = line.split()[:8] or [""]
        name = name.upper().removesuffix(".IMG")
        found = FORM.fullmatch(name)
        if found and found[1] == "LN" and len(told) == 7:
            _, size, age, sex, column, row, word = told
            known = size.isdigit() and column.isdigit() and row.isdigit()
            nodule = (int(column), int(row), float(size)) if known else None
            patients[name] = Patient(sex, read_age(age), word, nodule)
        elif found and found[1] == "NN" and len(told) >= 3:
            patients[name] = Patient(told[1], read_age(told[0]), told[2])
    return patients


def draw_nodule(column: int, row: int, diameter: float) -> np.ndarray:
    """The disc of a nodule: uint8 [2048, 2048], 1 inside; its centre in pixels, its diameter in mm."""
    radius = round(diameter / SPACING / 2)
    return cv2.circle(np.zeros((SIDE, SIDE), np.uint8), (column, row), radius, 1, -1)


SOURCE = JsrtScr()
