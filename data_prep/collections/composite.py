"""Composite data sets: radiographs from several collections, each read by its own source."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from data_prep.example import Example
from data_prep.options import Options
from data_prep.record import PreparationError, Record, SkippedRecord
from data_prep.source import Source


class Member(NamedTuple):
    """A collection that a composite reads radiographs from."""

    source: Source[Any]
    folders: tuple[str, ...]  # further names of its folder, besides the name of the source


class Composite(Source[Options]):
    """Radiographs of several collections, whose folders are side by side in one folder.

    Attributes:
        members: name of a source -> the collection.
    """

    members: Mapping[str, Member]
    license = "those of its members"
    size = "that of its members"

    def find_members(self, root: Path) -> dict[str, Path]:
        """Return name -> folder of the collections that are present.

        Raises:
            PreparationError: none is present.
        """
        folders = {}
        for name, member in self.members.items():
            for folder in (name, *member.folders):
                if (root / folder).is_dir():
                    folders[name] = root / folder
                    break
        if not folders:
            raise PreparationError(f"{root}: it has none of the folders {', '.join(self.members)}")
        return folders

    def list_member(self, name: str, folder: Path) -> list[Record | SkippedRecord]:
        """List all radiographs of a collection."""
        source = self.members[name].source
        return list(source.records(folder, source.options_type()))

    def read(self, record: Record, options: Options) -> Example:
        name, member_record = record.payload
        source = self.members[name].source
        example = source.read(member_record, source.options_type())
        return replace(
            example,
            id=record.id,
            path=record.id,
            label=record.label,
            upstream_label=record.upstream_label,
            patient_id=record.patient_id,
        )


def rebase(name: str, record: Record, **changes: Any) -> Record:
    """Convert a record of a collection to one of the composite: prefix its id with the name and clear its split."""
    return replace(record, **{"id": f"{name}/{record.id}", "split": "", "payload": (name, record)} | changes)
