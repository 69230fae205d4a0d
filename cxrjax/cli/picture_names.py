"""Names of the pictures of radiographs: PATH.figure.png, and another where two would have the same.

Two names are the same that differ in case or in how an accent is composed, as on the file systems of macOS and Windows.
"""

import hashlib
import os
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from pathlib import PurePath

SUFFIX = ".figure.png"
_LONGEST = 240  # bytes of a name, of the 255 that most file systems allow: a number may be added
_MOST = 100  # names that are tried where others' files are in the way


def plan_pictures(paths: Sequence[str], reserved: Collection[str]) -> dict[str, str]:
    """Return a name, relative to the output, for the picture of each radiograph; no two are the same.

    Args:
        paths: of the radiographs, relative to the input.
        reserved: names in the output that are of other files.
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
    """Yield the name of a picture, and others to try where something is in its way; the last are in no subfolder."""
    numbered = _alternatives(name)
    yield from (next(numbered) for _ in range(_MOST))
    numbered = _alternatives(f"picture~{_digest(name)}{SUFFIX}")
    yield from (next(numbered) for _ in range(_MOST))


def shorten(path: str) -> str:
    """Return the file name of a radiograph's picture; of a long one the end gives way to a checksum of the path."""
    stem = PurePath(path).name
    if len(os.fsencode(stem + SUFFIX)) <= _LONGEST:
        return stem + SUFFIX
    end = f"~{_digest(path)}{SUFFIX}"
    while len(os.fsencode(stem + end)) > _LONGEST:
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
