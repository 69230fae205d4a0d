"""Archives: files in one file, unpacked into one folder and nowhere else."""

import errno
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from data_prep.record import PreparationError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_ENCRYPTED = 1  # flag of a member of a zip file
_BLOCK = 1 << 20  # bytes
# Unpacked bytes for each byte of an archive, and besides: pictures shrink to a third, tables to a tenth, bombs to a
# thousandth.
_RATIO, _ALLOWANCE = 100, 1 << 30
# Of the disk; other errors of the system, such as a name that is too long, come of what the archive says.
_OF_THE_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EMFILE})


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks a zip or tar file into a folder, over what is there.

    Raises:
        PreparationError: it is damaged, unpacks to far more than its size, or holds a link or a file that would lie
            outside the folder.
        OSError: the disk is full, or cannot be written to.
    """
    inside = folder.resolve()
    left = _RATIO * archive.stat().st_size + _ALLOWANCE
    try:
        for name, stream in _members(archive):
            target = (inside / name).resolve()
            if stream is None or not target.is_relative_to(inside):
                raise PreparationError(
                    f"{archive.name}: refused, for it holds a link or leads out of its folder: {name}"
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                while block := stream.read(_BLOCK):
                    left -= len(block)
                    if left < 0:
                        raise PreparationError(f"{archive.name}: refused, it unpacks to over {_RATIO} times its size")
                    file.write(block)
    except PreparationError:
        raise
    except Exception as error:  # readers of damaged archives raise whatever they like
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            raise
        reason = str(error) or type(error).__name__
        raise PreparationError(f"{archive.name}: not an archive, or a damaged one ({reason})") from error


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Name and content of every file; None for what is no file, such as a link."""
    if archive.name.endswith(".zip"):
        with zipfile.ZipFile(archive) as pack:
            for member in pack.infolist():
                if member.flag_bits & _ENCRYPTED:
                    raise PreparationError(f"{archive.name}: is encrypted; unpack it, and name the folder with --from")
                if not member.is_dir():
                    with pack.open(member) as stream:
                        yield member.filename, stream
    else:
        with tarfile.open(archive) as pack:
            for member in pack:
                if not member.isdir():
                    yield member.name, pack.extractfile(member) if member.isreg() else None
