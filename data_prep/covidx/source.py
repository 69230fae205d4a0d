"""COVIDx by COVID-Net's rules (Wang, Lin and Wong 2020; create_COVIDx.ipynb), without RICORD, which release 8 added.

It contains COVID-19 and other pneumonia from the collections of ieee8023, Figure 1 and Actualmed; the COVID-19 images
of the COVID-19 Radiography Database that are not from ieee8023; and from RSNA normal radiographs and those with
opacity, which are labeled pneumonia. The test set has the patients in `patients.py` and, from RSNA, those in
COVID-Net's two .npy files. All others are in train or val.
"""

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
from data_prep.options import Options
from data_prep.record import PreparationError, Record, SkippedRecord
from data_prep.rsna_pneumonia.source import SOURCE as RSNA_PNEUMONIA

_IEEE8023 = "https://github.com/ieee8023/covid-chestxray-dataset"
_IN_RADIOGRAPHY = ("eurorad.org", "ml-workgroup", "sirm.org")  # sites whose images the database and ieee8023 share
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
        "its members, side by side in one folder: covid_chestxray, figure1, actualmed, covid_radiography and "
        "rsna_pneumonia, see their sources, and, for RSNA's test patients, "
        "git clone https://github.com/lindawangg/COVID-Net"
    )
    coverage = (
        "about 16,000 (the label nearly coincides with the source: all normal radiographs are from RSNA, no COVID-19 "
        "is); patient 191 and COVID-00024, training patients upstream by a missing comma, are test patients here"
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
    members = {
        "covid_chestxray": Member(COVID_CHESTXRAY, ("covid-chestxray-dataset",)),
        "figure1": Member(FIGURE1, ("Figure1-COVID-chestxray-dataset",)),
        "actualmed": Member(ACTUALMED, ("Actualmed-COVID-chestxray-dataset",)),
        "covid_radiography": Member(
            COVID_RADIOGRAPHY,
            ("COVID-19_Radiography_Dataset", "COVID-19-Radiography-Database", "COVID-19 Radiography Database"),
        ),
        "rsna_pneumonia": Member(RSNA_PNEUMONIA, ("rsna-pneumonia-detection-challenge",)),
    }

    def records(self, root: Path, options: Options) -> Iterator[Record | SkippedRecord]:
        folders = self.find_members(root)
        urls = _read_urls(folders.get("covid_chestxray"))
        for name in self.members:
            if name not in folders:
                yield SkippedRecord(name, f"no folder {name}")
                continue
            entries = self.list_member(name, folders[name])
            for entry in entries:
                if isinstance(entry, SkippedRecord):
                    yield SkippedRecord(f"{name}/{entry.id}", entry.reason)
            records = [entry for entry in entries if isinstance(entry, Record)]
            if name == "covid_radiography":
                yield from _select_from_radiography(records, folders[name], set(urls.values()))
            elif name == "rsna_pneumonia":
                yield from _select_from_rsna(records, root)
            else:
                url_of = urls if name == "covid_chestxray" else {}
                records = [record for record in records if not _is_in_radiography(record, url_of)]
                yield from _select_by_finding(name, records)


def _read_urls(folder: Path | None) -> dict[str, str]:
    """Return image -> the address of its origin, for the images of ieee8023."""
    table = read_csv(folder / "metadata.csv", "folder", "filename", "url") if folder else []
    return {f"{fields['folder']}/{fields['filename']}": fields["url"] for fields in table}


def _read_finding(record: Record) -> str:
    """Return the most specific word of "Pneumonia/Viral/SARS"; the first one of "COVID-19, ARDS"."""
    return record.upstream_label.split("/")[-1].split(",")[0].strip()


def _is_in_radiography(record: Record, urls: dict[str, str]) -> bool:
    url = urls.get(record.id, "")
    return _read_finding(record) == "COVID-19" and any(site in url for site in _IN_RADIOGRAPHY)


def _select_by_finding(name: str, records: list[Record]) -> Iterator[Record]:
    for record in records:
        if label := _LABELS.get(_read_finding(record)):
            yield rebase(name, record, label=label, split=_choose_split(record.patient_id in TEST))


def _select_from_radiography(records: list[Record], folder: Path, urls: set[str]) -> Iterator[Record]:
    top = next(iter(find_classes(folder))).parent
    tables = sorted(top.glob("COVID*.metadata.xlsx"))
    if not tables:
        raise PreparationError(f"{top}: it has no COVID.metadata.xlsx, which lists the images copied from ieee8023")
    table = read_xlsx(tables[0], "FILE NAME", "URL")
    copies = {find_number(fields["FILE NAME"]) for fields in table if fields["URL"] in urls | {_IEEE8023}}
    for record in records:
        number = find_number(Path(record.id).stem)
        if record.label == "covid19" and number not in copies | RADIOGRAPHY_COPIES:
            yield rebase("covid_radiography", record, split=_choose_split(number in RADIOGRAPHY_TEST))


def _select_from_rsna(records: list[Record], root: Path) -> Iterator[Record]:
    images = {str(name) for file in _LISTS for name in _read_list(root / "COVID-Net" / file)}
    # All images of a test patient are test images.
    patients = {record.patient_id for record in records if Path(record.id).stem in images}
    for record in records:
        if label := _RSNA_LABELS.get(record.label):
            split = _choose_split(record.patient_id in patients)
            yield rebase("rsna_pneumonia", record, label=label, split=split)


def _read_list(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise PreparationError(f"{path}: this list of RSNA's test patients is missing or damaged") from error


def _choose_split(is_test: bool) -> str:
    return "test" if is_test else "train|val"


SOURCE = Covidx()
