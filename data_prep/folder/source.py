"""A user's own layout: DIR/CLASS/..., or DIR/SPLIT/CLASS/..., and images of any kind, however deep below a class."""

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

from cxrjax.io import files
from cxrjax.io.radiograph import ImageReadError
from data_prep.collections.dicom import read_frontal
from data_prep.collections.labels import describe_merged_spellings, unify_spellings
from data_prep.example import Example
from data_prep.folder.layout import find_holders, find_layout, is_mask
from data_prep.record import PreparationError, Record, SkippedRecord
from data_prep.source import Source
from data_prep.splits import SPLIT_NAMES


class Folder(Source):
    """Images whose folder tells what they show."""

    name = "folder"
    description = "your own images, a folder a class: DIR/CLASS/*.{png,jpg,jpeg,tif,tiff,dcm,img}"
    homepage = "yours: a folder with a folder of images for every class"
    license = "those of the files"
    size = "nothing to download"
    coverage = (
        "every image; CT and lateral views are left out where a DICOM file says so, masks by their folder or name"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--patients",
            default="",
            metavar="REGEX",
            help="found in a file's name, its first group is the patient, as in --patients='^(p[0-9]+)_'",
        )

    def settings(self, options: Namespace) -> dict[str, Any]:
        return {"patients": options.patients}

    def rows(self, root: Path, options: Namespace) -> Iterator[Record | SkippedRecord]:
        pattern = _compile(options.patients)
        if not any(root.glob("[!.]*/")):
            raise PreparationError(f"{root}: it has no folder of images, one for every class")
        listing = _list(root)
        images, skipped = _choose(listing, root)
        layout = find_layout(list(images), str(root))
        placed = {path: layout.place(path) for path in images}
        labels = unify_spellings(word for word, _ in placed.values() if word)
        for path in sorted([*images, *skipped]):
            if path in skipped:
                yield SkippedRecord(path.as_posix(), skipped[path])
                continue
            word, split = placed[path]
            if not word:
                yield SkippedRecord(path.as_posix(), "in no folder of a class")
                continue
            told = pattern and pattern.search(path.name)
            yield Record(
                id=path.as_posix(),
                file=images[path],
                label=labels[word],
                upstream_label=word,
                patient_id=(told and told[1]) or "",
                source=root.resolve().name,
                licence="not stated",
                split=split,
            )

    def remarks(self, rows: Sequence[Record], root: Path, options: Namespace) -> list[str]:
        remarks = []
        of_rows = {row.split for row in rows if row.split}
        if splits := [name for name in SPLIT_NAMES if name in of_rows] + sorted(of_rows.difference(SPLIT_NAMES)):
            remarks.append(f"the splits {', '.join(splits)} are those of the folders of these names")
        labels = {row.upstream_label: row.label for row in rows}
        if len(set(labels.values())) == 1:
            remarks.append(
                f"all radiographs have the label {rows[0].label}; is {root} the folder that holds one for every class?"
            )
        return [*remarks, *filter(None, [describe_merged_spellings(labels)])]

    def read(self, row: Record, options: Namespace) -> Example:
        return read_frontal(row)


def _compile(text: str) -> re.Pattern[str] | None:
    try:
        pattern = re.compile(text) if text else None
    except re.error as error:
        raise PreparationError(f"--patients={text}: not a regular expression ({error})") from error
    if pattern and not pattern.groups:
        raise PreparationError(f"--patients={text}: it has no group, (...), for the patient")
    return pattern


def _list(root: Path) -> files.Listing:
    try:
        return files.list_files(root)
    except ImageReadError as error:
        raise PreparationError(str(error)) from error


def _choose(listing: files.Listing, root: Path) -> tuple[dict[PurePath, Path], dict[PurePath, str]]:
    """Radiographs that lie in a folder, and all other files with the reason; both by their path below the root.

    Raises:
        PreparationError: there are masks alone.
    """
    found = {file.relative_to(root): file for file in listing.radiographs}
    skipped = {
        each.path.relative_to(root): each.reason for each in listing.skipped_files if each.reason != files.HIDDEN
    }
    stems = frozenset((path.parent, path.stem) for path in found)
    holders = find_holders(found)
    images = {}
    for path, file in found.items():
        if is_mask(path, stems, holders):
            skipped[path] = "a mask or an overlay, by its name or its folder's, and no radiograph"
        elif len(path.parts) == 1:
            skipped[path] = "in no folder of a class"
        else:
            images[path] = file
    if not images:
        raise PreparationError(f"{root}: no radiograph in a folder of a class ({next(iter(skipped.values()))})")
    return images, skipped


SOURCE = Folder()
