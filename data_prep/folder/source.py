"""A user's own layout: DIR/CLASS/..., the class by the first folder, and images of any kind, however deep below it."""

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cxrjax.io import files
from cxrjax.radiograph import UnreadableRadiograph
from data_prep.example import Example
from data_prep.row import CannotPrepare, Row, Skip
from data_prep.source import Source
from data_prep.upstream.dicom import read_frontal

_WORDS = {
    "normal": ("normal", "healthy", "nofinding", "nofindings"),
    "bacterial": ("bacterial", "bacteria", "bacterialpneumonia", "pneumoniabacterial"),
    "tuberculosis": ("tuberculosis", "tb"),
    "viral": ("viral", "virus", "viralpneumonia", "pneumoniaviral"),
    "covid19": ("covid19", "covid", "sarscov2", "covid19pneumonia", "covidpneumonia"),
}
_LABELS = {word: label for label, words in _WORDS.items() for word in words}


class Folder(Source):
    """Images whose folder tells what they show."""

    name = "folder"
    about = "your own images, a folder a class: DIR/CLASS/*.{png,jpg,jpeg,tif,tiff,dcm,img}"
    where = "yours: a folder with a folder of images for every class"
    terms = "those of the files"
    size = "nothing to download"
    usable = "every image; CT and lateral views are left out where a DICOM file says so"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--patients",
            default="",
            metavar="REGEX",
            help="found in a file's name, its first group is the patient, as in --patients='^(p[0-9]+)_'",
        )

    def settings(self, options: Namespace) -> dict[str, Any]:
        return {"patients": options.patients}

    def rows(self, root: Path, options: Namespace) -> Iterator[Row | Skip]:
        pattern = _compile(options.patients)
        if not any(root.glob("[!.]*/")):
            raise CannotPrepare(f"{root}: it has no folder of images, one for every class")
        listing = _list(root)
        skipped = {each.path: each.reason for each in listing.passed_over if each.reason != files.HIDDEN}
        for file in sorted([*listing.radiographs, *skipped]):
            path = file.relative_to(root)
            if file in skipped:
                yield Skip(path.as_posix(), skipped[file])
            elif len(path.parts) == 1:
                yield Skip(path.as_posix(), "in no folder of a class")
            else:
                told = pattern and pattern.search(file.name)
                yield Row(
                    id=path.as_posix(),
                    file=file,
                    label=normalise(path.parts[0]),
                    upstream_label=path.parts[0],
                    patient_id=(told and told[1]) or "",
                    source=root.resolve().name,
                    licence="not stated",
                )

    def read(self, row: Row, options: Namespace) -> Example:
        return read_frontal(row)


def normalise(word: str) -> str:
    """The label of the shared vocabulary that a folder's name says, else the name as it is."""
    return _LABELS.get(re.sub("[^a-z0-9]", "", word.lower()), word)


def _compile(text: str) -> re.Pattern[str] | None:
    try:
        pattern = re.compile(text) if text else None
    except re.error as error:
        raise CannotPrepare(f"--patients={text}: not a regular expression ({error})") from error
    if pattern and not pattern.groups:
        raise CannotPrepare(f"--patients={text}: it has no group, (...), for the patient")
    return pattern


def _list(root: Path) -> files.Listing:
    try:
        return files.list_files(root)
    except UnreadableRadiograph as error:
        raise CannotPrepare(str(error)) from error


SOURCE = Folder()
