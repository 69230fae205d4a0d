"""Base of the two tuberculosis sets of the U.S. National Library of Medicine (Jaeger et al. 2014).

Layout: `CXR_png/PREFIX_0001_0.png`, whose last digit is 0 for normal and 1 for tuberculosis, and `ClinicalReadings/`
with a text file of the same name: sex, age, and the radiologist's reading.
"""

import re
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from data_prep.collections.locate import find_root
from data_prep.example import UNKNOWN
from data_prep.options import Options
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
_IMAGES = "CXR_png"
_READINGS = "ClinicalReadings"
_YEARS_PER_UNIT = {"y": 1, "m": 1 / 12, "d": 1 / 365.25}  # by the first letter of the unit


class Reading(NamedTuple):
    """Content of a clinical reading; "" and NaN for unknown."""

    sex: str = ""
    age: float = UNKNOWN  # years
    text: str = ""  # the radiologist's, on one line


class TuberculosisSet(Source[Options]):
    """One of the two sets; readings without an image are skipped records.

    Attributes:
        prefix: of the file names.
        spacing: (row, column) mm, if upstream states it.
    """

    prefix: str
    spacing: tuple[float, float] = (UNKNOWN, UNKNOWN)
    license = "no license stated; upstream asks to cite its papers and not to redistribute the set"
    citation = CITATION

    @abstractmethod
    def find_masks(self, folders: tuple[Path, Path], name: str) -> dict[str, Path]:
        """Return the mask files of one radiograph by what each shows; {} if there are none.

        Args:
            folders: upstream's folder, and the user's folder, which may contain it.
            name: of the radiograph.
        """

    def records(self, root: Path, options: Options) -> Iterator[Record | SkippedRecord]:
        folder = find_root(root, _IMAGES)
        pattern = re.compile(rf"{self.prefix}_\d+_([01])")
        images = {path.stem for path in (folder / _IMAGES).glob("*.png") if pattern.fullmatch(path.stem)}
        if not images:
            raise PreparationError(f"{folder / _IMAGES}: no {self.prefix}_*.png in it")
        readings = {path.stem for path in (folder / _READINGS).glob("*.txt") if pattern.fullmatch(path.stem)}
        for name in sorted(images | readings):
            if name not in images:
                yield SkippedRecord(f"{_IMAGES}/{name}.png", "no such file")
                continue
            label = LABELS[name[-1]]
            reading = read_reading(folder / _READINGS / f"{name}.txt") if name in readings else Reading()
            yield Record(
                id=f"{_IMAGES}/{name}.png",
                file=folder / _IMAGES / f"{name}.png",
                label=label,
                upstream_label=reading.text or label,
                patient_id=f"{self.name}-{name[:-2]}",
                source=self.name,
                view="PA",
                sex=reading.sex,
                age=reading.age,
                spacing=self.spacing,
                masks=self.find_masks((folder, root), name),
                license="not stated",
            )


def read_reading(path: Path) -> Reading:
    """Read the lines "Patient's Sex: F", "Patient's Age: 027Y" and the reading, or "male 45yrs" and the reading."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    patient_lines = [line for line in lines if re.match(r"(patient'?s|(fe)?male\b)", line, re.IGNORECASE)]
    patient = " ".join(patient_lines)
    sex = re.search(r"sex:\s*(\w+)|\b((?:fe)?male)\b", patient, re.IGNORECASE)
    age = re.search(r"(\d+)\s*([ymd])", patient, re.IGNORECASE)
    return Reading(
        sex=(sex[1] or sex[2]) if sex else "",
        age=int(age[1]) * _YEARS_PER_UNIT[age[2].lower()] if age else UNKNOWN,
        text=" ".join(line for line in lines if line and line not in patient_lines),
    )
