"""A user's own images: DIR/CLASS/... or DIR/SPLIT/CLASS/..., in any format and at any depth below a class."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from cxrjax.io import files
from cxrjax.io.radiograph import ImageReadError
from data_prep.collections.dicom import read_frontal
from data_prep.collections.labels import describe_merged_spellings, unify_spellings
from data_prep.example import Example
from data_prep.folder.layout import find_image_parents, find_layout, is_mask
from data_prep.options import Options, option
from data_prep.record import PreparationError, Record, SkippedRecord
from data_prep.source import Source
from data_prep.splits import SPLIT_NAMES


@dataclass(frozen=True)
class FolderOptions(Options):
    """Options of `Folder`.

    Attributes:
        patients: regular expression for file names whose first group is the patient; "" for unknown patients.
    """

    patients: str = option(
        "",
        "regular expression for file names whose first group is the patient, as in --patients='^(p[0-9]+)_'",
        metavar="REGEX",
    )


class Folder(Source[FolderOptions]):
    """Images whose folder names their class."""

    name = "folder"
    description = "your own images, one folder per class: DIR/CLASS/*.{png,jpg,jpeg,tif,tiff,dcm,img}"
    homepage = "yours: a folder with one folder of images per class"
    license = "those of the files"
    size = "nothing to download"
    coverage = (
        "every image, except CT and lateral views according to DICOM, and masks according to folder or file names"
    )

    options_type = FolderOptions

    def settings(self, options: FolderOptions) -> dict[str, Any]:
        return {"patients": options.patients}

    def records(self, root: Path, options: FolderOptions) -> Iterator[Record | SkippedRecord]:
        pattern = _compile(options.patients)
        if not any(root.glob("[!.]*/")):
            raise PreparationError(f"{root}: it has no folders of images, one per class")
        listing = _list_files(root)
        images, skipped = _separate_masks(listing, root)
        layout = find_layout(list(images), str(root))
        classes = {path: layout.classify(path) for path in images}
        labels = unify_spellings(word for word, _ in classes.values() if word)
        for path in sorted([*images, *skipped]):
            if path in skipped:
                yield SkippedRecord(path.as_posix(), skipped[path])
                continue
            word, split = classes[path]
            if not word:
                yield SkippedRecord(path.as_posix(), "in no folder of a class")
                continue
            match = pattern and pattern.search(path.name)
            yield Record(
                id=path.as_posix(),
                file=images[path],
                label=labels[word],
                upstream_label=word,
                patient_id=(match and match[1]) or "",
                source=root.resolve().name,
                license="not stated",
                split=split,
            )

    def remarks(self, records: Sequence[Record], root: Path, options: FolderOptions) -> list[str]:
        remarks = []
        splits = {record.split for record in records if record.split}
        if splits:
            names = [name for name in SPLIT_NAMES if name in splits] + sorted(splits.difference(SPLIT_NAMES))
            remarks.append(f"the splits {', '.join(names)} are those of the folders of these names")
        labels = {record.upstream_label: record.label for record in records}
        if len(set(labels.values())) == 1:
            remarks.append(
                f"all radiographs have the label {records[0].label}; is {root} the folder that holds one folder per "
                "class?"
            )
        return [*remarks, *filter(None, [describe_merged_spellings(labels)])]

    def read(self, record: Record, options: FolderOptions) -> Example:
        return read_frontal(record)


def _compile(text: str) -> re.Pattern[str] | None:
    try:
        pattern = re.compile(text) if text else None
    except re.error as error:
        raise PreparationError(f"--patients={text}: not a regular expression ({error})") from error
    if pattern and not pattern.groups:
        raise PreparationError(f"--patients={text}: it has no group, (...), for the patient")
    return pattern


def _list_files(root: Path) -> files.Listing:
    try:
        return files.list_files(root)
    except ImageReadError as error:
        raise PreparationError(str(error)) from error


def _separate_masks(listing: files.Listing, root: Path) -> tuple[dict[PurePath, Path], dict[PurePath, str]]:
    """Return the radiographs in folders, and all other files with the reason; both by their path below the root.

    Raises:
        PreparationError: there is no radiograph.
    """
    candidates: dict[PurePath, Path] = {file.relative_to(root): file for file in listing.radiographs}
    skipped: dict[PurePath, str] = {
        file.path.relative_to(root): file.reason for file in listing.skipped_files if file.reason != files.HIDDEN
    }
    stems = frozenset((path.parent, path.stem) for path in candidates)
    image_parents = find_image_parents(candidates)
    images: dict[PurePath, Path] = {}
    for path, file in candidates.items():
        if is_mask(path, stems, image_parents):
            skipped[path] = "a mask or an overlay according to its name or folder, not a radiograph"
        elif len(path.parts) == 1:
            skipped[path] = "in no folder of a class"
        else:
            images[path] = file
    if not images:
        raise PreparationError(f"{root}: no radiograph in a folder of a class ({next(iter(skipped.values()))})")
    return images, skipped


SOURCE = Folder()
