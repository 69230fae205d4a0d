"""The RSNA challenge: stage_2_train_images/ID.dcm, a table of classes, and a table of boxes around opacities.

Upstream's patientId identifies an image: the images are from NIH's ChestX-ray14, which has several images of many
patients. RSNA publishes a file that maps the images to NIH's; if it is beside the tables, patients are NIH's.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from data_prep.collections.boxes import Box, add_boxes
from data_prep.collections.dicom import read_frontal
from data_prep.collections.locate import find_root
from data_prep.collections.spreadsheet import read_csv
from data_prep.example import Example
from data_prep.options import Options
from data_prep.record import PreparationError, Record
from data_prep.source import Source

IMAGES = "stage_2_train_images"
BOXES = "stage_2_train_labels.csv"
CLASSES = "stage_2_detailed_class_info.csv"
_NIH = "pneumonia-challenge-dataset-mappings_2018.json"
_LABELS = {"Normal": "normal", "Lung Opacity": "opacity", "No Lung Opacity / Not Normal": "not normal"}
_SIDES = ("x", "y", "width", "height")


class RsnaPneumonia(Source[Options]):
    """Frontal radiographs with boxes around possible pneumonia."""

    name = "rsna_pneumonia"
    description = (
        "radiographs of NIH's ChestX-ray14, normal, with opacity (boxes stored as lesions), or otherwise not normal"
    )
    homepage = (
        "https://www.kaggle.com/competitions/rsna-pneumonia-detection-challenge after accepting its rules, and, for "
        f"the patients, https://s3.amazonaws.com/east1.public.rsna.org/AI/2018/{_NIH}"
    )
    license = "the competition's rules: non-commercial use, academic research and education"
    size = "about 4 GB"
    coverage = f"all 26,684 of the training set; without {_NIH} beside the tables, every image counts as a patient"
    citation = """@article{shih2019augmenting,
  author = {Shih, George and Wu, Carol C. and Halabi, Safwan S. and others},
  title = {Augmenting the {National Institutes of Health} Chest Radiograph Dataset with Expert Annotations of Possible
    Pneumonia},
  journal = {Radiology: Artificial Intelligence},
  volume = {1},
  number = {1},
  pages = {e180041},
  year = {2019},
  doi = {10.1148/ryai.2019180041}
}"""

    def records(self, root: Path, options: Options) -> Iterator[Record]:
        folder = find_root(root, IMAGES, BOXES, CLASSES)
        boxes = _read_boxes(folder / BOXES)
        patients = _read_patients(folder / _NIH)
        classes = {row["patientId"]: row["class"] for row in read_csv(folder / CLASSES, "patientId", "class")}
        for name, finding in classes.items():
            yield Record(
                id=f"{IMAGES}/{name}.dcm",
                file=folder / IMAGES / f"{name}.dcm",
                label=_LABELS.get(finding, finding.lower()),
                upstream_label=finding,
                patient_id=patients.get(name, f"rsna-{name}"),
                source=self.name,
                license=self.license,
                payload=tuple(boxes[name]),
            )

    def read(self, record: Record, options: Options) -> Example:
        return add_boxes(read_frontal(record), record.payload)


def _read_boxes(path: Path) -> dict[str, list[Box]]:
    boxes: dict[str, list[Box]] = defaultdict(list)
    for row in read_csv(path, "patientId", *_SIDES):
        if not row["x"]:
            continue
        try:
            boxes[row["patientId"]].append(tuple(float(row[side]) for side in _SIDES))
        except ValueError as error:
            raise PreparationError(f"{path}: a box of {row['patientId']} is not four numbers") from error
    return boxes


def _read_patients(path: Path) -> dict[str, str]:
    """Return RSNA's image -> NIH's patient, from names PATIENT_NUMBER.png of NIH's images; {} if there is no file."""
    if not path.is_file():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {entry["subset_img_id"]: f"nih-{entry['img_id'].partition('_')[0]}" for entry in entries}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PreparationError(f"{path}: not a list of images with subset_img_id and img_id") from error


SOURCE = RsnaPneumonia()
