"""Base of the collections of The Cancer Imaging Archive, in the folders that its download program creates.

Layout: COLLECTION-PATIENT/STUDY/SERIES/*.dcm at any depth, and metadata.csv with one row per series, which separates CT
from radiographs before a file is opened. Without it, CT slices are rejected when they are read.
"""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from cxrjax.io.projection import RADIOGRAPHS
from data_prep.collections.dicom import read_frontal
from data_prep.collections.spreadsheet import read_csv
from data_prep.example import Example
from data_prep.options import Options
from data_prep.record import PreparationError, Record, SkippedRecord
from data_prep.source import Source


class CovidCollection(Source[Options]):
    """Radiographs of patients who all have COVID-19.

    Attributes:
        prefix: of the folder of a patient, in upstream's case.
    """

    prefix: str

    def records(self, root: Path, options: Options) -> Iterator[Record | SkippedRecord]:
        files = [(self._find_patient(file.relative_to(root)), file) for file in sorted(root.rglob("*.dcm"))]
        if not any(patient for patient, _ in files):
            raise PreparationError(f"{root}: it has no folder {self.prefix}... with .dcm files")
        modalities = _read_modalities(root)
        for (series, patient), group in groupby(files, key=lambda pair: (pair[1].parent, pair[0])):
            modality = modalities.get(series, "")
            if not patient:
                yield SkippedRecord(series.relative_to(root).as_posix(), f"in no folder {self.prefix}...")
            elif modality and modality not in RADIOGRAPHS:
                yield SkippedRecord(series.relative_to(root).as_posix(), f"{modality}, not a radiograph")
            else:
                yield from (self._make_record(file, file.relative_to(root), patient) for _, file in group)

    def read(self, record: Record, options: Options) -> Example:
        return read_frontal(record)

    def _find_patient(self, path: Path) -> str:
        return next((part.removeprefix(self.prefix) for part in path.parts[:-1] if part.startswith(self.prefix)), "")

    def _make_record(self, file: Path, path: Path, patient: str) -> Record:
        return Record(
            id=path.as_posix(),
            file=file,
            label="covid19",
            upstream_label="COVID-19",
            patient_id=f"{self.name}-{patient}",
            source=self.name,
            license=self.license,
        )


def _read_modalities(root: Path) -> dict[Path, str]:
    """Return folder -> modality of each series, from every metadata.csv in the root or one folder below."""
    modalities = {}
    for table in [*root.glob("metadata.csv"), *sorted(root.glob("*/metadata.csv"))]:
        for fields in read_csv(table, "Modality", "File Location"):
            # The download program writes backslashes on Windows.
            modalities[table.parent / fields["File Location"].replace("\\", "/")] = fields["Modality"]
    return modalities
