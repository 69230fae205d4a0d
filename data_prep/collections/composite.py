"""A data set made of radiographs of several collections, each read by its own source."""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from data_prep.example import Example
from data_prep.record import PreparationError, Record, SkippedRecord
from data_prep.source import Source


class Member(NamedTuple):
    """A collection that a composite takes radiographs from."""

    source: Source
    folders: tuple[str, ...]  # what its folder in the user's is called, beside the source's own name


class Composite(Source):
    """Radiographs of several collections, whose folders lie side by side.

    Attributes:
        parts: by the name of its source.
    """

    parts: Mapping[str, Member]
    license = "those of its parts"
    size = "that of its parts"

    def find_parts(self, root: Path) -> dict[str, Path]:
        """Name of a part -> its folder, of those that are there.

        Raises:
            PreparationError: none is.
        """
        names = {name: (name, *part.folders) for name, part in self.parts.items()}
        places = {name: [root / folder for folder in folders] for name, folders in names.items()}
        found = {name: [place for place in tried if place.is_dir()] for name, tried in places.items()}
        if not any(found.values()):
            raise PreparationError(f"{root}: it has none of the folders {', '.join(names)}")
        return {name: there[0] for name, there in found.items() if there}

    def list_part(self, name: str, folder: Path) -> list[Record | SkippedRecord]:
        """All that a part has."""
        return list(self.parts[name].source.rows(folder, _defaults(self.parts[name].source)))

    def read(self, row: Record, options: Namespace) -> Example:
        name, own = row.payload
        source = self.parts[name].source
        example = source.read(own, _defaults(source))
        return replace(
            example,
            id=row.id,
            path=row.id,
            label=row.label,
            upstream_label=row.upstream_label,
            patient_id=row.patient_id,
        )


def rebase(name: str, row: Record, **changes: Any) -> Record:
    """A part's row as one of the composite's: its id begins with the part's name, and it is bound to no split."""
    return replace(row, **{"id": f"{name}/{row.id}", "split": "", "payload": (name, row)} | changes)


def _defaults(source: Source) -> Namespace:
    parser = ArgumentParser(add_help=False)
    source.add_arguments(parser)
    return parser.parse_args([])
