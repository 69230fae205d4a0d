"""Base of the sources that list their images in a `metadata.csv` in the format of ieee8023's collection."""

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path

from data_prep.collections.ieee8023_labels import METADATA, map_label, read_age, rejection_reason
from data_prep.collections.locate import find_root
from data_prep.collections.spreadsheet import read_csv
from data_prep.options import Options
from data_prep.record import Record, SkippedRecord
from data_prep.source import Source


class MetadataCsvSource(Source[Options]):
    """A collection with one row of `metadata.csv` per image, of which the frontal radiographs are read.

    Attributes:
        columns: required columns besides patientid, finding, view and modality.
        needs_view: whether an image without a stated view is skipped.
        needs_finding: whether an image without a stated finding is skipped; otherwise its label is "".
        default_license: of an image whose row states none.
    """

    columns: tuple[str, ...] = ()
    needs_view = True
    needs_finding = True
    default_license = "not stated"

    @abstractmethod
    def image_path(self, folder: Path, fields: dict[str, str]) -> str:
        """Return the path of a row's image, relative to the collection's folder; the file may be missing."""

    @abstractmethod
    def patient_id(self, patient: str) -> str:
        """Return a patient's identifier that is unique across collections."""

    def read_finding(self, fields: dict[str, str]) -> str:
        """Return upstream's finding of a row."""
        return fields["finding"]

    def find_masks(self, folder: Path, name: str) -> dict[str, Path]:
        """Return the mask files of an image, by what each shows."""
        return {}

    def records(self, root: Path, options: Options) -> Iterator[Record | SkippedRecord]:
        folder = find_root(root, METADATA)
        names = set()
        for fields in read_csv(folder / METADATA, "patientid", "finding", "view", "modality", *self.columns):
            name = self.image_path(folder, fields)
            finding = self.read_finding(fields)
            label = map_label(finding)
            reason = rejection_reason(fields["modality"], fields["view"], needs_view=self.needs_view)
            if not reason and not label and self.needs_finding:
                reason = "finding not stated"
            if not reason and not (folder / name).is_file():
                reason = "no such file"
            if reason or name in names:
                yield SkippedRecord(name, reason or f"listed a second time in {METADATA}")
                continue
            names.add(name)
            yield Record(
                id=name,
                file=folder / name,
                label=label,
                upstream_label=finding,
                patient_id=self.patient_id(fields["patientid"]) if fields["patientid"] else "",
                source=self.name,
                view=fields["view"],
                sex=fields.get("sex", ""),
                age=read_age(fields.get("age", "")),
                masks=self.find_masks(folder, name),
                license=fields.get("license") or self.default_license,
            )
