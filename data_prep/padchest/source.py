"""PadChest: folders 0 to 54 of 16-bit PNG files, and a table with the labels of each report as a Python list."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from data_prep.collections.cells import is_blank, normalize_number
from data_prep.collections.spreadsheet import iter_csv
from data_prep.collections.upstream_paths import file_name
from data_prep.example import UNKNOWN
from data_prep.options import Options
from data_prep.record import PreparationError, Record, SkippedRecord
from data_prep.source import Source

TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
# Finding -> upstream's labels that imply it: its own and narrower terms of upstream's tree of labels.
FINDINGS = {
    "atelectasis": (
        *("laminar atelectasis", "lobar atelectasis", "segmental atelectasis", "total atelectasis"),
        *("round atelectasis", "atelectasis basal"),
    ),
    "consolidation": ("air bronchogram",),
    "infiltrates": (
        *("interstitial pattern", "reticular interstitial pattern", "reticulonodular interstitial pattern"),
        *("ground glass pattern", "miliary opacities", "alveolar pattern", "consolidation", "air bronchogram"),
    ),
    "pneumonia": ("atypical pneumonia",),
    "pulmonary edema": (),
    "heart insufficiency": (),
    "pulmonary fibrosis": (),
    "emphysema": (),
    "COPD signs": (),
    "air trapping": (),
    "bronchiectasis": (),
    "nodule": ("multiple nodules",),
    "pulmonary mass": (),
    "granuloma": ("calcified granuloma",),
    "tuberculosis": (),
    "tuberculosis sequelae": (),
    "pneumothorax": ("hydropneumothorax",),
    "pleural effusion": (
        *("loculated pleural effusion", "loculated fissural effusion", "hydropneumothorax", "empyema", "hemothorax"),
    ),
    "pleural thickening": ("apical pleural thickening", "calcified pleural thickening"),
    "costophrenic angle blunting": (),
    "cardiomegaly": (),
    "aortic elongation": (
        *("ascendent aortic elongation", "descendent aortic elongation", "supra aortic elongation"),
        "aortic button enlargement",
    ),
    "aortic atheromatosis": (),
    "hilar enlargement": ("adenopathy", "vascular hilar enlargement", "pulmonary artery enlargement"),
    "hemidiaphragm elevation": (),
    "flattened diaphragm": (),
    "hiatal hernia": (),
    "scoliosis": (),
    "fracture": ("rib fracture", "callus rib fracture", "clavicle fracture", "humeral fracture", "vertebral fracture"),
    "electrical device": ("pacemaker", "dual chamber device", "single chamber device"),
}
FRONTAL = ("PA", "AP", "AP_horizontal")
_REJECTED = "exclude"  # upstream's label of an image that is no usable radiograph
_SILENT = {"unchanged", "suboptimal study"}  # labels that say nothing of findings
_NAN = re.compile(r"(?<=[, \[])nan(?=[,\]])")  # an item that pandas wrote without a text
_COLUMNS = ("ImageID", "PatientID", "Projection", "Labels")


class PadChest(Source[Options]):
    """Radiographs with the labels of Spanish reports, a quarter by physicians and the others by a network."""

    name = "padchest"
    description = f"frontal radiographs of the hospital of San Juan (Alicante), {len(FINDINGS)} findings from reports"
    homepage = (
        "https://bimcv.cipf.es/bimcv-projects/padchest/, after filling in the form of BIMCV, which accepts the "
        "PadChest Dataset Research Use Agreement"
    )
    license = "PadChest Dataset Research Use Agreement: research, no redistribution"
    size = "about 1 TB"
    coverage = (
        "the frontal ones (PA, AP, AP_horizontal) of 160,868 radiographs of 67,625 patients; upstream has no splits; "
        "lateral and costal views, and images that upstream labels exclude, are left out"
    )
    citation = """@article{bustos2020padchest,
  author = {Bustos, Aurelia and Pertusa, Antonio and Salinas, Jose-Maria and de la Iglesia-Vaya, Maria},
  title = {{PadChest}: A large chest x-ray image dataset with multi-label annotated reports},
  journal = {Medical Image Analysis},
  volume = {66},
  pages = {101797},
  year = {2020},
  doi = {10.1016/j.media.2020.101797}
}"""

    def has_findings(self, options: Options) -> bool:
        return True

    def records(self, root: Path, options: Options) -> Iterator[Record | SkippedRecord]:
        table = _find_table(root)
        files = {path.name: path for path in sorted(table.parent.rglob("*.png"))}
        listed: set[str] = set()
        for row in iter_csv(table, *_COLUMNS):
            image = file_name(row["ImageID"])
            path = files.get(image)
            labels = _read_labels(row["Labels"], image, table)
            reason = f"listed a second time in {table.name}" if image in listed else _find_reason(row, labels)
            listed.add(image)
            if path is None or reason:
                yield SkippedRecord(image, reason or "no such file")
                continue
            yield Record(
                id=path.relative_to(table.parent).as_posix(),
                file=path,
                findings={name: float(bool({name.lower(), *narrower} & labels)) for name, narrower in FINDINGS.items()},
                upstream_label="|".join(sorted(labels)),
                patient_id=f"padchest-{normalize_number(row['PatientID'])}",
                source=self.name,
                view=row["Projection"],
                sex=row.get("PatientSex_DICOM", "") if row.get("PatientSex_DICOM") in ("M", "F") else "",
                age=_read_age(row),
                license=self.license,
            )


def _find_table(root: Path) -> Path:
    """Return the table, compressed or not, in the folder or directly in one of its folders."""
    for folder in (root, *sorted(root.glob("[!.]*/"))):
        for name in (TABLE, f"{TABLE}.gz"):
            if (folder / name).is_file():
                return folder / name
    raise PreparationError(f"{root}: it has no {TABLE}")


def _read_labels(text: str, image: str, table: Path) -> set[str]:
    """Return the labels of a cell such as "['cardiomegaly', ' pleural effusion', '']", without blanks around them.

    Raises:
        PreparationError: the cell is not a list of texts.
    """
    if is_blank(text):
        return set()
    try:
        labels = ast.literal_eval(_NAN.sub("''", text))
        names = {label.strip().lower() for label in labels}
    except (ValueError, SyntaxError, TypeError, AttributeError, MemoryError, RecursionError) as error:
        raise PreparationError(f"{table}: the labels of {image} are not a list of texts") from error
    return names - {""}


def _find_reason(row: dict[str, str], labels: set[str]) -> str:
    """Return why a row is left out, or ""."""
    if row["Projection"] not in FRONTAL:
        return f"its projection is {row['Projection'] or 'not stated'}, which is not frontal"
    if _REJECTED in labels:
        return f"upstream labels it {_REJECTED}"
    if not labels:
        return "no labels"
    return f"its report says only {' and '.join(sorted(labels))}" if labels <= _SILENT else ""


def _read_age(row: dict[str, str]) -> float:
    """Return the age in years at the study, from the year of birth; NaN if one is missing."""
    try:
        age = int(row.get("StudyDate_DICOM", "")[:4]) - int(float(row.get("PatientBirth", "")))
    except ValueError:
        return UNKNOWN
    return float(age) if 0 <= age <= 120 else UNKNOWN


SOURCE = PadChest()
