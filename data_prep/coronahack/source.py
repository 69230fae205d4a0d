"""CoronaHack: a metadata CSV, and {train,test}/*.jpeg one or two folders below it.

Most images are Kermany's with their original names, so patients have the same identifiers as in `kermany`.
"""

from collections.abc import Iterator
from pathlib import Path

from data_prep.collections.locate import find_root
from data_prep.collections.spreadsheet import read_csv
from data_prep.kermany.file_names import read_name
from data_prep.kermany.source import SOURCE as KERMANY
from data_prep.options import Options
from data_prep.record import PreparationError, Record, SkippedRecord
from data_prep.source import Source

_TABLE = "Chest_xray_Corona_Metadata.csv"
_IMAGES = "Coronahack-Chest-XRay-Dataset"
# Columns.
_NAME = "X_ray_image_name"
_FINDING = "Label"
_SPLIT = "Dataset_type"
_CAUSE = "Label_1_Virus_category"
_PATHOGEN = "Label_2_Virus_category"


class CoronaHack(Source[Options]):
    """Kermany's radiographs of children, and a few of COVID-19 from journals."""

    name = "coronahack"
    description = "Kermany's radiographs with about 60 of COVID-19, SARS and ARDS from ieee8023's collection"
    homepage = "https://www.kaggle.com/datasets/praveengovi/coronahack-chest-xraydataset"
    license = "CC BY 4.0"
    size = "about 1.2 GB"
    coverage = "the 5,910 in its table; nearly all are also in kermany or covid_chestxray: do not use them together"
    citation = """@misc{praveen2020coronahack,
  author = {Praveen, G.},
  title = {{CoronaHack}: Chest X-Ray-Dataset},
  year = {2020},
  howpublished = {Kaggle},
  url = {https://www.kaggle.com/datasets/praveengovi/coronahack-chest-xraydataset}
}"""
    kaggle = "praveengovi/coronahack-chest-xraydataset"

    def splits_table(self) -> Path | None:
        return KERMANY.splits_table()

    def records(self, root: Path, options: Options) -> Iterator[Record | SkippedRecord]:
        folder = find_root(root, _TABLE)
        images = _find_images(folder)
        for fields in read_csv(folder / _TABLE, _NAME, _FINDING, _SPLIT, _CAUSE, _PATHOGEN):
            name = f"{fields[_SPLIT].lower()}/{fields[_NAME]}"
            file = images / name
            if not fields[_FINDING]:
                yield SkippedRecord(name, "finding not stated")
            elif not file.is_file():
                yield SkippedRecord(name, "no such file")
            else:
                yield Record(
                    id=name,
                    file=file,
                    label=_label(fields),
                    upstream_label="/".join(filter(None, (fields[key] for key in (_FINDING, _CAUSE, _PATHOGEN)))),
                    patient_id=read_name(file.stem)[1],
                    source=self.name,
                    license=self.license,
                )


def _find_images(folder: Path) -> Path:
    for images in (folder / _IMAGES / _IMAGES, folder / _IMAGES, folder):
        if (images / "train").is_dir() or (images / "test").is_dir():
            return images
    raise PreparationError(f"{folder}: it has no {_IMAGES} with train and test")


def _label(fields: dict[str, str]) -> str:
    if fields[_FINDING] == "Normal":
        return "normal"
    if fields[_PATHOGEN] == "COVID-19":
        return "covid19"
    causes = {"bacteria": "bacterial", "Virus": "viral"}
    # Lung damage by smoking is ARDS in the table, with the finding Pnemonia (upstream's spelling).
    return causes.get(fields[_CAUSE]) or fields[_PATHOGEN].lower() or "pneumonia"


SOURCE = CoronaHack()
