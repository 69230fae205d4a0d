"""Unpack archives into a folder, and never outside it."""

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
# Limit of the unpacked bytes: _MAX_RATIO per byte of the archive plus _ALLOWANCE. Images compress to a third, tables to
# a tenth, decompression bombs to a thousandth.
_MAX_RATIO = 100
_ALLOWANCE = 1 << 30
# Errors of the disk; other system errors, such as a name that is too long, are caused by the archive.
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EMFILE})


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar file into a folder, replacing existing files.

    Raises:
        PreparationError: the archive is damaged, unpacks to far more than its size, or holds a link or a file that
            would be outside the folder.
        OSError: the disk is full, or cannot be written to.
    """
    top = folder.resolve()
    bytes_left = _MAX_RATIO * archive.stat().st_size + _ALLOWANCE
    try:
        for name, stream in _read_members(archive):
            target = (top / name).resolve()
            if stream is None or not target.is_relative_to(top):
                raise PreparationError(
                    f"{archive.name}: refused, it holds a link or a file outside of its folder: {name}"
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                while block := stream.read(_BLOCK):
                    bytes_left -= len(block)
                    if bytes_left < 0:
                        raise PreparationError(
                            f"{archive.name}: refused, it unpacks to over {_MAX_RATIO} times its size"
                        )
                    file.write(block)
    except PreparationError:
        raise
    except Exception as error:  # damaged archives raise many types of errors
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            raise
        reason = str(error) or type(error).__name__
        raise PreparationError(f"{archive.name}: not an archive, or a damaged one ({reason})") from error


def _read_members(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Yield the name and the content of every member; None for links and other members that are not files."""
    if archive.name.endswith(".zip"):
        with zipfile.ZipFile(archive) as pack:
            for member in pack.infolist():
                if member.flag_bits & _ENCRYPTED:
                    raise PreparationError(
                        f"{archive.name}: is encrypted; unpack it, and name the folder with --raw_dir"
                    )
                if not member.is_dir():
                    with pack.open(member) as stream:
                        yield member.filename, stream
    else:
        with tarfile.open(archive) as pack:
            for member in pack:
                if not member.isdir():
                    yield member.name, pack.extractfile(member) if member.isreg() else None
