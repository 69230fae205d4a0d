"""Unique names of the files of radiographs: PATH.figure.png, or with a number, PATH.figure-2.png, if that is taken.

Names that differ only in case or in the composition of accents are equal, as on the file systems of macOS and Windows.
"""

import hashlib
import os
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from pathlib import PurePath

_MAX_BYTES = 240  # of a name; most file systems allow 255, and a number may be added
_MAX_TRIES = 100  # names that are tried if they are those of the user's files


class OutputNames:
    """Names, relative to the output folder, of the files of each radiograph."""

    def __init__(self, paths: Sequence[str], reserved: Collection[str]):
        """Choose the folders.

        Args:
            paths: paths of the radiographs, relative to the input.
            reserved: names of other files in the output folder.
        """
        top = {PurePath(path).parts[0] for path in paths if len(PurePath(path).parts) > 1}
        self._taken = {_fold(name) for name in reserved}
        renamed = {}
        for name in sorted(top):
            renamed[name] = name
            number = 1
            while _fold(renamed[name]) in self._taken:
                number += 1
                renamed[name] = f"{name}-{number}"
        self._folders = {}
        for path in paths:
            first, *rest = PurePath(path).parts[:-1] or ("",)
            self._folders[path] = os.path.join(renamed.get(first, ""), *rest)
        for folder in set(self._folders.values()):
            self._taken |= {_fold(str(parent)) for parent in (PurePath(folder), *PurePath(folder).parents)}
        self._names: dict[str, dict[str, str]] = {}
        self._planned: set[str] = set()

    def candidates(self, path: str, suffix: str) -> Iterator[str]:
        """Yield the name of a radiograph's file, then others to try if a file of the user has it.

        No candidate is the first one of another radiograph. The last ones are in no subfolder.

        Args:
            path: path of the radiograph, relative to the input.
            suffix: what the name ends in, such as ".figure.png".
        """
        if suffix not in self._names:
            self._names[suffix] = self._plan(suffix)
            self._planned |= set(self._names[suffix].values())
        name = self._names[suffix][path]
        for candidate in _candidates(name, suffix):
            if candidate == name or candidate not in self._planned:
                yield candidate

    def _plan(self, suffix: str) -> dict[str, str]:
        """Return a unique name for each radiograph, by path; names with different suffixes are never equal."""
        taken = set(self._taken)
        names = {}
        for path in sorted(self._folders):
            stem = os.path.join(self._folders[path], shorten(path, suffix))
            names[path] = next(name for name in _alternatives(stem, suffix) if _fold(name) not in taken)
            taken.add(_fold(names[path]))
        return names


def shorten(path: str, suffix: str) -> str:
    """Return the name of a radiograph's file; the end of a long one is replaced by a checksum of the path."""
    stem = PurePath(path).name
    if len(os.fsencode(stem + suffix)) <= _MAX_BYTES:
        return stem + suffix
    end = f"~{_digest(path)}{suffix}"
    while len(os.fsencode(stem + end)) > _MAX_BYTES:
        stem = stem[:-1]
    return stem + end


def _candidates(name: str, suffix: str) -> Iterator[str]:
    numbered = _alternatives(name, suffix)
    yield from (next(numbered) for _ in range(_MAX_TRIES))
    numbered = _alternatives(f"radiograph~{_digest(name)}{suffix}", suffix)
    yield from (next(numbered) for _ in range(_MAX_TRIES))


def _alternatives(name: str, suffix: str) -> Iterator[str]:
    yield name
    stem, extension = os.path.splitext(suffix)
    number = 1
    while True:
        number += 1
        yield f"{name.removesuffix(suffix)}{stem}-{number}{extension}"


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:12]


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
