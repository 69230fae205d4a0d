"""The two tuberculosis sets of the U.S. National Library of Medicine (Jaeger et al. 2014), which have one layout.

`CXR_png/PREFIX_0001_0.png`, whose last digit is 0 for normal and 1 for tuberculosis, and `ClinicalReadings/` with
a text of the same name: sex, age, and the radiologist's reading.
"""

import re
from abc import abstractmethod
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from data_prep.collections.locate import find_root
from data_prep.example import UNKNOWN
from data_prep.record import PreparationError, Record, SkippedRecord
from data_prep.source import Source

LABELS = {"0": "normal", "1": "tuberculosis"}
CITATION = """@article{jaeger2014two,
  title = {Two public chest X-ray datasets for computer-aided screening of pulmonary diseases},
  author = {Jaeger, Stefan and Candemir, Sema and Antani, Sameer and W\\'ang, Y\\`i-Xi\\'ang J and Lu, Pu-Xuan and
            Thoma, George},
  journal = {Quantitative Imaging in Medicine and Surgery},
  volume = {4},
  number = {6},
  pages = {475--477},
  year = {2014},
}"""
_PIXELS, _TEXTS = "CXR_png", "ClinicalReadings"
_YEARS = {"y": 1, "m": 1 / 12, "d": 1 / 365.25}  # by the first letter of the unit


class Reading(NamedTuple):
    """What a clinical reading says; "" and NaN where it does not."""

    sex: str = ""
    age: float = UNKNOWN  # years
    words: str = ""  # the radiologist's, on one line


class TuberculosisSet(Source):
    """One of the two sets: every picture, and every reading that has lost its picture.

    Attributes:
        prefix: of the file names.
        spacing: (row, column) mm, where upstream tells it.
    """

    prefix: str
    spacing: tuple[float, float] = (UNKNOWN, UNKNOWN)
    license = "no licence stated; upstream asks to cite its papers and not to pass the set on"
    citation = CITATION

    @abstractmethod
    def find_masks(self, folders: tuple[Path, Path], name: str) -> dict[str, Path]:
        """The mask files of one radiograph by what each shows; none where upstream has none.

        Args:
            folders: of upstream's files, and the user's, which may be the one around it.
            name: of the radiograph.
        """

    def rows(self, root: Path, options: Namespace) -> Iterator[Record | SkippedRecord]:
        inside = find_root(root, _PIXELS)
        form = re.compile(rf"{self.prefix}_\d+_([01])")
        pictures = {path.stem for path in (inside / _PIXELS).glob("*.png") if form.fullmatch(path.stem)}
        if not pictures:
            raise PreparationError(f"{inside / _PIXELS}: no {self.prefix}_*.png in it")
        readings = {path.stem for path in (inside / _TEXTS).glob("*.txt") if form.fullmatch(path.stem)}
        for name in sorted(pictures | readings):
            if name not in pictures:
                yield SkippedRecord(f"{_PIXELS}/{name}.png", "no such file")
                continue
            label = LABELS[name[-1]]
            reading = read_reading(inside / _TEXTS / f"{name}.txt") if name in readings else Reading()
            yield Record(
                id=f"{_PIXELS}/{name}.png",
                file=inside / _PIXELS / f"{name}.png",
                label=label,
                upstream_label=reading.words or label,
                patient_id=f"{self.name}-{name[:-2]}",
                source=self.name,
                view="PA",
                sex=reading.sex,
                age=reading.age,
                spacing=self.spacing,
                masks=self.find_masks((inside, root), name),
                licence="not stated",
            )


def read_reading(path: Path) -> Reading:
    """Reads "Patient's Sex: F / Patient's Age: 027Y / reading" or "male 45yrs / reading", a line each."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    about = [line for line in lines if re.match(r"(patient'?s|(fe)?male\b)", line, re.IGNORECASE)]
    told = " ".join(about)
    sex = re.search(r"sex:\s*(\w+)|\b((?:fe)?male)\b", told, re.IGNORECASE)
    age = re.search(r"(\d+)\s*([ymd])", told, re.IGNORECASE)
    return Reading(
        sex=(sex[1] or sex[2]) if sex else "",
        age=int(age[1]) * _YEARS[age[2].lower()] if age else UNKNOWN,
        words=" ".join(line for line in lines if line and line not in about),
    )
