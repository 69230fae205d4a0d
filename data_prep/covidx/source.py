"""COVIDx by COVID-Net's rules (Wang, Lin and Wong 2020; create_COVIDx.ipynb), without RICORD, which release 8 added.

COVID-19 and other pneumonia of ieee8023's, Figure 1's and Actualmed's collections; of the COVID-19 Radiography Database
the COVID-19 images that are not ieee8023's; of RSNA what is normal or has an opacity, which counts as pneumonia. Test
are the patients of `patients.py` and, of RSNA, those of COVID-Net's two .npy files. What is not test is train or val.
"""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_prep.actualmed.source import SOURCE as ACTUALMED
from data_prep.collections.composite import Composite, Member, rebase
from data_prep.collections.spreadsheet import read_csv, read_xlsx
from data_prep.covid_chestxray.source import SOURCE as COVID_CHESTXRAY
from data_prep.covid_radiography.source import SOURCE as COVID_RADIOGRAPHY
from data_prep.covid_radiography.source import find_classes, find_number
from data_prep.covidx.patients import RADIOGRAPHY_COPIES, RADIOGRAPHY_TEST, TEST
from data_prep.figure1.source import SOURCE as FIGURE1
from data_prep.record import PreparationError, Record, SkippedRecord
from data_prep.rsna_pneumonia.source import SOURCE as RSNA_PNEUMONIA

_IEEE8023 = "https://github.com/ieee8023/covid-chestxray-dataset"
_IN_RADIOGRAPHY = ("eurorad.org", "ml-workgroup", "sirm.org")  # ieee8023's origins that the database holds too
_PNEUMONIA = frozenset(("SARS", "MERS", "Streptococcus", "Klebsiella", "Chlamydophila", "Legionella", "E.Coli"))
_LABELS = {"COVID-19": "covid19"} | dict.fromkeys(_PNEUMONIA, "pneumonia")
_RSNA_LABELS = {"normal": "normal", "opacity": "pneumonia"}
_LISTS = ("rsna_test_patients_normal.npy", "rsna_test_patients_pneumonia.npy")


class Covidx(Composite):
    """Normal, pneumonia and COVID-19 from five collections."""

    name = "covidx"
    description = (
        "COVIDx, COVID-Net's data set: normal, pneumonia and COVID-19 from five collections, and its test patients"
    )
    homepage = (
        "its parts, side by side in one folder: covid_chestxray, figure1, actualmed, covid_radiography and "
        "rsna_pneumonia, each as its own source says, and, for RSNA's test patients, "
        "git clone https://github.com/lindawangg/COVID-Net"
    )
    coverage = (
        "about 16,000 (the source and the label nearly coincide: all that is normal is RSNA's, all COVID-19 is not); "
        "patient 191 and COVID-00024, which a missing comma sent to training, are test patients here"
    )
    citation = """@article{wang2020covidnet,
  author = {Wang, Linda and Lin, Zhong Qiu and Wong, Alexander},
  title = {{COVID-Net}: A Tailored Deep Convolutional Neural Network Design for Detection of {COVID-19} Cases from Chest
    {X}-Ray Images},
  journal = {Scientific Reports},
  volume = {10},
  pages = {19549},
  year = {2020},
  doi = {10.1038/s41598-020-76550-z}
}"""
    parts = {
        "covid_chestxray": Member(COVID_CHESTXRAY, ("covid-chestxray-dataset",)),
        "figure1": Member(FIGURE1, ("Figure1-COVID-chestxray-dataset",)),
        "actualmed": Member(ACTUALMED, ("Actualmed-COVID-chestxray-dataset",)),
        "covid_radiography": Member(
            COVID_RADIOGRAPHY,
            ("COVID-19_Radiography_Dataset", "COVID-19-Radiography-Database", "COVID-19 Radiography Database"),
        ),
        "rsna_pneumonia": Member(RSNA_PNEUMONIA, ("rsna-pneumonia-detection-challenge",)),
    }

    def rows(self, root: Path, options: Namespace) -> Iterator[Record | SkippedRecord]:
        there = self.find_parts(root)
        origins = _read_origins(there.get("covid_chestxray"))
        for name in self.parts:
            if name not in there:
                yield SkippedRecord(name, f"no folder {name}")
                continue
            listed = self.list_part(name, there[name])
            yield from (
                SkippedRecord(f"{name}/{one.id}", one.reason) for one in listed if isinstance(one, SkippedRecord)
            )
            rows = [one for one in listed if isinstance(one, Record)]
            if name == "covid_radiography":
                yield from _choose_radiography(rows, there[name], set(origins.values()))
            elif name == "rsna_pneumonia":
                yield from _choose_rsna(rows, root)
            else:
                rows = [row for row in rows if not _is_elsewhere(row, origins if name == "covid_chestxray" else {})]
                yield from _choose_by_finding(name, rows)


def _read_origins(folder: Path | None) -> dict[str, str]:
    """Image of ieee8023's -> the address that it was taken from."""
    table = read_csv(folder / "metadata.csv", "folder", "filename", "url") if folder else []
    return {f"{fields['folder']}/{fields['filename']}": fields["url"] for fields in table}


def _read_finding(row: Record) -> str:
    """The most exact word of "Pneumonia/Viral/SARS"; the first one of "COVID-19, ARDS"."""
    return row.upstream_label.split("/")[-1].split(",")[0].strip()


def _is_elsewhere(row: Record, origins: dict[str, str]) -> bool:
    origin = origins.get(row.id, "")
    return _read_finding(row) == "COVID-19" and any(site in origin for site in _IN_RADIOGRAPHY)


def _choose_by_finding(name: str, rows: list[Record]) -> Iterator[Record]:
    for row in rows:
        if label := _LABELS.get(_read_finding(row)):
            yield rebase(name, row, label=label, split=_name_split(row.patient_id in TEST))


def _choose_radiography(rows: list[Record], folder: Path, origins: set[str]) -> Iterator[Record]:
    top = next(iter(find_classes(folder))).parent
    tables = sorted(top.glob("COVID*.metadata.xlsx"))
    if not tables:
        raise PreparationError(f"{top}: it has no COVID.metadata.xlsx, which tells what was copied from ieee8023")
    table = read_xlsx(tables[0], "FILE NAME", "URL")
    copies = {find_number(line["FILE NAME"]) for line in table if line["URL"] in origins | {_IEEE8023}}
    for row in rows:
        number = find_number(Path(row.id).stem)
        if row.label == "covid19" and number not in copies | RADIOGRAPHY_COPIES:
            yield rebase("covid_radiography", row, split=_name_split(number in RADIOGRAPHY_TEST))


def _choose_rsna(rows: list[Record], root: Path) -> Iterator[Record]:
    images = {str(name) for file in _LISTS for name in _read_list(root / "COVID-Net" / file)}
    patients = {row.patient_id for row in rows if Path(row.id).stem in images}  # all images of a patient go one way
    for row in rows:
        if label := _RSNA_LABELS.get(row.label):
            split = _name_split(row.patient_id in patients)
            yield rebase("rsna_pneumonia", row, label=label, split=split)


def _read_list(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise PreparationError(
            f"{path}: RSNA's test patients are read from it, and it is missing or damaged"
        ) from error


def _name_split(is_test: bool) -> str:
    return "test" if is_test else "train|val"


SOURCE = Covidx()
