"""Unique names of the figures of radiographs: PATH.figure.png, or with a number if that name is taken.

Names that differ only in case or in the composition of accents are equal, as on the file systems of macOS and Windows.
"""

import hashlib
import os
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from pathlib import PurePath

SUFFIX = ".figure.png"
_MAX_BYTES = 240  # of a name; most file systems allow 255, and a number may be added
_MAX_TRIES = 100  # names that are tried if they are those of the user's files


def plan_figures(paths: Sequence[str], reserved: Collection[str]) -> dict[str, str]:
    """Return a unique name, relative to the output folder, for the figure of each radiograph, by path.

    Args:
        paths: paths of the radiographs, relative to the input.
        reserved: names of other files in the output folder.
    """
    top = {PurePath(path).parts[0] for path in paths if len(PurePath(path).parts) > 1}
    taken = {_fold(name) for name in reserved}
    renamed = {}
    for name in sorted(top):
        renamed[name] = name
        number = 1
        while _fold(renamed[name]) in taken:
            number += 1
            renamed[name] = f"{name}-{number}"
    folders = {}
    for path in paths:
        first, *rest = PurePath(path).parts[:-1] or ("",)
        folders[path] = os.path.join(renamed.get(first, ""), *rest)
    for folder in set(folders.values()):
        taken |= {_fold(str(parent)) for parent in (PurePath(folder), *PurePath(folder).parents)}
    names = {}
    for path in sorted(paths):
        names[path] = next(
            name for name in _alternatives(os.path.join(folders[path], shorten(path))) if _fold(name) not in taken
        )
        taken.add(_fold(names[path]))
    return names


def candidates(name: str) -> Iterator[str]:
    """Yield the name of a figure, then alternatives to try if a file has it; the last ones are in no subfolder."""
    numbered = _alternatives(name)
    yield from (next(numbered) for _ in range(_MAX_TRIES))
    numbered = _alternatives(f"picture~{_digest(name)}{SUFFIX}")
    yield from (next(numbered) for _ in range(_MAX_TRIES))


def shorten(path: str) -> str:
    """Return the file name of a radiograph's figure; the end of a long one is replaced by a checksum of the path."""
    stem = PurePath(path).name
    if len(os.fsencode(stem + SUFFIX)) <= _MAX_BYTES:
        return stem + SUFFIX
    end = f"~{_digest(path)}{SUFFIX}"
    while len(os.fsencode(stem + end)) > _MAX_BYTES:
        stem = stem[:-1]
    return stem + end


def _alternatives(name: str) -> Iterator[str]:
    yield name
    number = 1
    while True:
        number += 1
        yield f"{name.removesuffix(SUFFIX)}.figure-{number}.png"


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:12]


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
