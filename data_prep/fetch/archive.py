"""Archives: files in one file, unpacked into one folder and nowhere else."""

import gzip
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from data_prep.row import CannotPrepare

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_ENCRYPTED = 1  # flag of a member of a zip file
_DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError,
    NotImplementedError,  # a zip file compressed in a way that Python does not know
)  # fmt: skip


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks a zip or tar file into a folder, over what is there.

    Raises:
        CannotPrepare: it is damaged, or holds a link or a file that would lie outside the folder.
        OSError: the disk is full.
    """
    inside = folder.resolve()
    try:
        for name, stream in _members(archive):
            target = (inside / name).resolve()
            if stream is None or not target.is_relative_to(inside):
                raise CannotPrepare(f"{archive.name}: refused, for it holds a link or leads out of its folder: {name}")
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                shutil.copyfileobj(stream, file)
    except _DAMAGE as error:
        raise CannotPrepare(f"{archive.name}: not an archive, or a damaged one ({error})") from error


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Name and content of every file; None for what is no file, such as a link."""
    if archive.name.endswith(".zip"):
        with zipfile.ZipFile(archive) as pack:
            for member in pack.infolist():
                if member.flag_bits & _ENCRYPTED:
                    raise CannotPrepare(f"{archive.name}: is encrypted; unpack it, and name the folder with --from")
                if not member.is_dir():
                    with pack.open(member) as stream:
                        yield member.filename, stream
    else:
        with tarfile.open(archive) as pack:
            for member in pack:
                if not member.isdir():
                    yield member.name, pack.extractfile(member) if member.isreg() else None
