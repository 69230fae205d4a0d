"""Kermany's collection: chest_xray/{train,test,val}/{NORMAL,PNEUMONIA}/*.jpeg; file names give the patients.

The folders train, test and val are not used as splits: they share patient numbers, and val has 16 images.
"""

from collections.abc import Iterator
from pathlib import Path

from data_prep.collections.locate import find_root
from data_prep.kermany.file_names import read_name
from data_prep.options import Options
from data_prep.record import Record
from data_prep.source import Source

_FOLDERS = {"NORMAL": "normal", "PNEUMONIA": "pneumonia"}
_SUFFIXES = {".jpeg", ".jpg", ".png"}


class Kermany(Source[Options]):
    """Radiographs of children from one hospital."""

    name = "kermany"
    description = "radiographs of children, normal or with bacterial or viral pneumonia, of one hospital in Guangzhou"
    homepage = "https://www.kaggle.com/datasets/paultimothymooney/chest-xray-pneumonia"
    license = "CC BY 4.0"
    size = "about 1.2 GB"
    coverage = "all 5,856; patients according to file names; coronahack also contains them"
    citation = """@article{kermany2018identifying,
  author = {Kermany, Daniel S. and Goldbaum, Michael and Cai, Wenjia and others},
  title = {Identifying Medical Diagnoses and Treatable Diseases by Image-Based Deep Learning},
  journal = {Cell},
  volume = {172},
  number = {5},
  pages = {1122--1131},
  year = {2018},
  doi = {10.1016/j.cell.2018.02.010}
}"""
    kaggle = "paultimothymooney/chest-xray-pneumonia"

    def records(self, root: Path, options: Options) -> Iterator[Record]:
        folder = find_root(root, "train")
        for part in ("train", "test", "val"):
            for finding, label in _FOLDERS.items():
                for file in sorted((folder / part / finding).glob("[!.]*")):
                    if file.suffix.lower() in _SUFFIXES:
                        yield self._make_record(file, f"{part}/{finding}/{file.name}", label)

    def _make_record(self, file: Path, name: str, folder_label: str) -> Record:
        name_label, patient = read_name(file.stem)
        return Record(
            id=name,
            file=file,
            label=name_label if folder_label == "pneumonia" and name_label else folder_label,
            upstream_label=file.parent.name,
            patient_id=patient,
            source=self.name,
            license=self.license,
        )


SOURCE = Kermany()
