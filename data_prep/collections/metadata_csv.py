"""A collection that names its images in a `metadata.csv`, as ieee8023 began and agchung took over."""

from abc import abstractmethod
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from data_prep.collections.ieee8023_labels import METADATA, map_label, read_age, rejection_reason
from data_prep.collections.locate import find_root
from data_prep.collections.spreadsheet import read_csv
from data_prep.record import Record, SkippedRecord
from data_prep.source import Source


class MetadataCsvSource(Source):
    """A row of `metadata.csv` an image; taken are the frontal radiographs.

    Attributes:
        columns: that its file needs besides patientid, finding, view and modality.
        needs_view: whether an image of no stated view is left out.
        needs_finding: whether an image of no stated finding is left out; its label is "" if not.
        licence: of an image for which the file states none.
    """

    columns: tuple[str, ...] = ()
    needs_view = needs_finding = True
    licence = "not stated"

    @abstractmethod
    def name_image(self, folder: Path, fields: dict[str, str]) -> str:
        """Path of a row's image, relative to the collection's folder; whether it is there is not asked."""

    @abstractmethod
    def name_patient(self, patient: str) -> str:
        """A patient's name that is unique over collections."""

    def tell_finding(self, fields: dict[str, str]) -> str:
        """Upstream's words for what a row's image shows."""
        return fields["finding"]

    def find_masks(self, folder: Path, name: str) -> dict[str, Path]:
        """The mask files of an image, by what each shows."""
        return {}

    def rows(self, root: Path, options: Namespace) -> Iterator[Record | SkippedRecord]:
        folder = find_root(root, METADATA)
        seen = set()
        for fields in read_csv(folder / METADATA, "patientid", "finding", "view", "modality", *self.columns):
            name, finding = self.name_image(folder, fields), self.tell_finding(fields)
            label = map_label(finding)
            reason = rejection_reason(fields["modality"], fields["view"], needs_view=self.needs_view)
            if not reason and not label and self.needs_finding:
                reason = "finding not stated"
            if not reason and not (folder / name).is_file():
                reason = "no such file"
            if reason or name in seen:
                yield SkippedRecord(name, reason or f"named a second time in {METADATA}")
                continue
            seen.add(name)
            yield Record(
                id=name,
                file=folder / name,
                label=label,
                upstream_label=finding,
                patient_id=self.name_patient(fields["patientid"]) if fields["patientid"] else "",
                source=self.name,
                view=fields["view"],
                sex=fields.get("sex", ""),
                age=read_age(fields.get("age", "")),
                masks=self.find_masks(folder, name),
                licence=fields.get("license") or self.licence,
            )
