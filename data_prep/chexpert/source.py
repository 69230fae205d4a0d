"""CheXpert: train.csv, valid.csv and, since 2022, the labels of the test set, with images below train, valid, test."""

from collections.abc import Iterator
from pathlib import Path

from data_prep.collections.certainty import FINDINGS, NO_FINDING, read_findings
from data_prep.collections.dicom import parse_age
from data_prep.collections.locate import find_root
from data_prep.collections.spreadsheet import iter_csv
from data_prep.collections.upstream_paths import relative_to
from data_prep.options import Options
from data_prep.record import Record, SkippedRecord
from data_prep.source import Source

TRAINING = "train.csv"
VALIDATION = "valid.csv"
# Names of the table of the test set, in the releases that have one; it has no sex, age or view.
TESTS = ("test.csv", "test_labels.csv", "groundtruth.csv")
_FOLDERS = ("train", "valid", "test")
_FRONTAL = "frontal"
_SEXES = {"Male": "M", "Female": "F"}


class CheXpert(Source[Options]):
    """Radiographs with thirteen findings, positive, negative or uncertain, of an automatic labeler."""

    name = "chexpert"
    description = (
        "frontal radiographs of Stanford, 13 findings, uncertain ones included (validation and test by readers)"
    )
    homepage = (
        "https://stanfordaimi.azurewebsites.net/datasets/8cbd9ed4-2eb9-4565-affc-111cf4f7ebe2, after signing in and "
        "agreeing to the form of Stanford AIMI; the small version (CheXpert-v1.0-small) has the same layout"
    )
    license = "Stanford University Dataset Research Use Agreement: research, no redistribution"
    size = "439 GB, the small version 11 GB"
    coverage = (
        "all frontal ones of 224,316 radiographs of 65,240 patients; the splits are upstream's train, valid and, if "
        "its table is there, test; laterals are left out"
    )
    citation = """@inproceedings{irvin2019chexpert,
  author = {Irvin, Jeremy and Rajpurkar, Pranav and Ko, Michael and others},
  title = {{CheXpert}: A Large Chest Radiograph Dataset with Uncertainty Labels and Expert Comparison},
  booktitle = {AAAI Conference on Artificial Intelligence},
  volume = {33},
  pages = {590--597},
  year = {2019},
  doi = {10.1609/aaai.v33i01.3301590}
}"""

    def has_findings(self, options: Options) -> bool:
        return True

    def records(self, root: Path, options: Options) -> Iterator[Record | SkippedRecord]:
        folder = find_root(root, TRAINING, VALIDATION)
        tables = {TRAINING: "train", VALIDATION: "val"}
        tables |= {name: "test" for name in TESTS if (folder / name).exists()}
        listed: set[str] = set()
        for name, split in tables.items():
            for row in iter_csv(folder / name, "Path", *FINDINGS):
                path = relative_to(row["Path"], _FOLDERS)
                reason = _find_reason(folder, path, listed)
                listed.add(path)
                if reason:
                    yield SkippedRecord(path or row["Path"], reason)
                    continue
                yield self._read_row(row, folder, path, folder / name, split)

    def _read_row(self, row: dict[str, str], folder: Path, path: str, table: Path, split: str) -> Record:
        positive = [name for name in (NO_FINDING, *FINDINGS) if row.get(name, "") in ("1", "1.0")]
        return Record(
            id=path,
            file=folder / path,
            findings=read_findings(row, table),
            upstream_label="|".join(positive),
            patient_id=f"chexpert-{path.split('/')[1].removeprefix('patient')}",
            source=self.name,
            view=row.get("AP/PA", ""),
            sex=_SEXES.get(row.get("Sex", ""), ""),
            age=parse_age(row.get("Age", "").removeprefix("0")),  # 0 with an unknown sex is no age: all are adults
            license=self.license,
            split=split,
        )


def _find_reason(folder: Path, path: str, listed: set[str]) -> str:
    """Return why a row is left out, or ""."""
    if not path or path.count("/") != 3:
        return f"its path has no {'/, '.join(_FOLDERS)}/ with a patient and a study"
    if path in listed:
        return "listed a second time"
    if _FRONTAL not in path.rpartition("/")[2]:
        return "lateral view"
    return "" if (folder / path).is_file() else "no such file"


SOURCE = CheXpert()
