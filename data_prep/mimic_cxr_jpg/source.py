"""MIMIC-CXR-JPG: files/pNN/pSUBJECT/sSTUDY/IMAGE.jpg; tables of the images, the splits and the labels of studies."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_prep.collections.cells import normalize_number
from data_prep.collections.certainty import FINDINGS, read_findings
from data_prep.collections.spreadsheet import iter_csv
from data_prep.options import Options, option
from data_prep.record import PreparationError, Record, SkippedRecord
from data_prep.source import Source

IMAGES = "files"
VIEWS = ("AP", "PA")
LABELERS = ("chexpert", "negbio")
_SPLITS = {"train": "train", "validate": "val", "test": "test"}
_KEYS = ("subject_id", "study_id")


@dataclass(frozen=True)
class MimicOptions(Options):
    """Options of `MimicCxrJpg`.

    Attributes:
        labeler: program that read the reports, one of `LABELERS`.
    """

    labeler: str = option("chexpert", "program that labeled the reports", choices=LABELERS)


class MimicCxrJpg(Source[MimicOptions]):
    """Radiographs with thirteen findings of each study, positive, negative or uncertain, from its report."""

    name = "mimic_cxr_jpg"
    description = (
        "frontal radiographs of an emergency department, 13 findings by a labeler of reports, uncertain included"
    )
    homepage = (
        "https://physionet.org/content/mimic-cxr-jpg/, after becoming a credentialed user of PhysioNet (the CITI "
        "course on human research) and signing its data use agreement"
    )
    license = "PhysioNet Credentialed Health Data License 1.5.0"
    size = "about 570 GB"
    coverage = (
        "all AP and PA ones of 377,110 radiographs of 65,379 patients, several of a study too; the splits are "
        "upstream's; other and unstated views, and studies without labels, are left out"
    )
    citation = """@article{johnson2019mimic,
  author = {Johnson, Alistair E. W. and Pollard, Tom J. and Greenbaum, Nathaniel R. and others},
  title = {{MIMIC-CXR-JPG}, a large publicly available database of labeled chest radiographs},
  journal = {arXiv},
  year = {2019},
  eprint = {1901.07042}
}"""
    options_type = MimicOptions

    def has_findings(self, options: MimicOptions) -> bool:
        return True

    def settings(self, options: MimicOptions) -> dict[str, str]:
        return {"labeler": options.labeler}

    def records(self, root: Path, options: MimicOptions) -> Iterator[Record | SkippedRecord]:
        folder = _find_folder(root)
        labels_table = _find_table(folder, options.labeler)
        labels = {
            normalize_number(row["study_id"]): read_findings(row, labels_table)
            for row in iter_csv(labels_table, *_KEYS, *FINDINGS)
        }
        splits = {
            row["dicom_id"]: _read_split(row["split"], row["dicom_id"])
            for row in iter_csv(_find_table(folder, "split"), "dicom_id", "split")
        }
        listed: set[str] = set()
        for row in iter_csv(_find_table(folder, "metadata"), "dicom_id", *_KEYS, "ViewPosition"):
            image = row["dicom_id"]
            subject = normalize_number(row["subject_id"])
            study = normalize_number(row["study_id"])
            path = f"{IMAGES}/p{subject[:2]}/p{subject}/s{study}/{image}.jpg"
            reason = ""
            if image in listed:
                reason = "listed a second time"
            elif row["ViewPosition"] not in VIEWS:
                reason = f"its view is {row['ViewPosition']}, not AP or PA" if row["ViewPosition"] else "no view stated"
            elif study not in labels:
                reason = f"its study has no labels of {options.labeler}"
            elif image not in splits:
                reason = "in none of upstream's splits"
            elif not (folder / path).is_file():
                reason = "no such file"
            listed.add(image)
            if reason:
                yield SkippedRecord(path, reason)
                continue
            yield Record(
                id=path,
                file=folder / path,
                findings=labels[study],
                patient_id=f"mimic-{subject}",
                source=self.name,
                view=row["ViewPosition"],
                license=self.license,
                split=splits[image],
            )


def _find_folder(root: Path) -> Path:
    """Return the folder of `files`, which wget stores below physionet.org/files/mimic-cxr-jpg/VERSION."""
    for folder in (root, *sorted(root.glob("*/")), *sorted(root.glob("physionet.org/files/mimic-cxr-jpg/*/"))):
        if (folder / IMAGES).is_dir() and any(folder.glob("mimic-cxr-2*-metadata.csv*")):
            return folder
    raise PreparationError(f"{root}: it has no {IMAGES} with mimic-cxr-2.0.0-metadata.csv.gz beside it")


def _find_table(folder: Path, name: str) -> Path:
    """Return the table of any release, compressed or not."""
    tables = sorted(folder.glob(f"mimic-cxr-2*-{name}.csv*"))
    if not tables:
        raise PreparationError(f"{folder}: it has no mimic-cxr-2.0.0-{name}.csv.gz")
    return tables[-1]


def _read_split(text: str, image: str) -> str:
    if text not in _SPLITS:
        raise PreparationError(f"{image}: its split is {text!r}, where upstream has {', '.join(_SPLITS)}")
    return _SPLITS[text]


SOURCE = MimicCxrJpg()
