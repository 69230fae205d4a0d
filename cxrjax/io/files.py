"""Listing of the radiographs in a folder, and of every other file with the reason why it is skipped.

A file name may be any bytes: bytes that are not UTF-8 are represented as surrogates, as in Python's file functions.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cxrjax.io import numpy_file
from cxrjax.io.dicom_header import is_dicom
from cxrjax.io.errors import ImageReadError
from cxrjax.io.images import NIFTI_ADVICE, detect_format

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom", ".img", ".webp", ".bmp"})
HIDDEN = "hidden"
_SUPPORTED = "PNG, JPEG, TIFF, WebP, BMP, DICOM, NumPy .npy and JSRT .IMG are supported"
_NIFTI = f"NIfTI ({NIFTI_ADVICE})"
_UNSUPPORTED = {
    **{".gif": "GIF", ".jp2": "JPEG 2000", ".j2k": "JPEG 2000", ".jpx": "JPEG 2000"},
    **{".jxl": "JPEG XL", ".heic": "HEIC", ".heif": "HEIC", ".avif": "AVIF", ".psd": "Photoshop", ".svg": "SVG"},
    **{".npz": "NumPy .npz", ".mat": "MATLAB", ".nii": _NIFTI, ".nii.gz": _NIFTI, ".nrrd": "NRRD"},
    **{".mha": "MetaImage", ".mhd": "MetaImage", ".pdf": "PDF", ".pgm": "PGM", ".ppm": "PPM", ".exr": "OpenEXR"},
}
_SPECIAL = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_DICOMDIR_UID = b"1.2.840.10008.1.3.10\0"  # Media Storage Directory Storage
_HEAD_BYTES = 1024  # contain the DICOM magic, and the SOP class in the meta group behind it


class SkippedFile(NamedTuple):
    """A file or a folder that is not listed as a radiograph.

    Attributes:
        path: the file or folder.
        reason: a phrase without the path.
        is_unopened: whether the file or folder could not be opened, so that it may contain radiographs.
    """

    path: Path
    reason: str
    is_unopened: bool = False


class Listing(NamedTuple):
    """The files of a folder, each list sorted by path.

    Attributes:
        radiographs: files that may be radiographs.
        skipped_files: all other files.
        folders: all folders that were searched, including the folder itself; empty if it is a file.
    """

    radiographs: list[Path]
    skipped_files: list[SkippedFile]
    folders: list[Path]


def list_files(root: str | Path) -> Listing:
    """List the radiographs at `root`: the file itself, or all in the folder and its subfolders.

    In a folder, radiographs are recognized by their suffix, or by DICOM's magic (archives omit the suffix); a .npy file
    also by the shape of its array. Links to
    files and folders are followed, but each folder is searched once: a link to a parent folder, or to a folder that is
    already listed, is skipped. Hidden files and folders are skipped. Only regular files are opened.

    Raises:
        ImageReadError: `root` does not exist, is neither a file nor a folder, or contains no radiograph.
    """
    root = Path(root)
    try:
        mode = root.stat().st_mode
    except OSError as error:
        raise ImageReadError(root, _explain_missing(root, error)) from error
    if stat.S_ISREG(mode):
        _reject_dicomdir(root)
        return Listing([root], [], [])
    if not stat.S_ISDIR(mode):
        raise ImageReadError(root, f"{_name_special(mode)}, neither a file nor a folder")
    radiographs = []
    skipped_files = []
    folders: list[Path] = []
    for path, reason in _walk(root, folders):
        if reason is None:
            reason = _classify(path)
        if reason is None:
            radiographs.append(path)
        else:
            skipped_files.append(reason)
    listing = Listing(sorted(radiographs), sorted(skipped_files), sorted(folders))
    if not radiographs:
        raise ImageReadError(root, f"no radiograph in this folder{_describe_first(root, listing.skipped_files)}")
    return listing


def check_regular(path: Path) -> None:
    """Check, without opening it, that a listed file is still a regular file.

    Raises:
        ImageReadError: the file is gone, or is not a regular file any more.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ImageReadError(path, _explain_missing(path, error)) from error
    if not stat.S_ISREG(mode):
        description = "a folder" if stat.S_ISDIR(mode) else _name_special(mode)
        raise ImageReadError(path, f"{description}, not a file")


def _walk(root: Path, searched: list[Path]) -> Iterator[tuple[Path, SkippedFile | None]]:
    """Yield each file under `root`, and each skipped file or folder with its reason; append folders to `searched`.

    Links to folders come last, so that the choice between two names of one folder does not depend on the order of
    names.
    """
    entered = set()
    linked = []
    folders = [root]
    while folders or linked:
        folder = folders.pop() if folders else linked.pop(0)
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in entered:
                yield folder, SkippedFile(folder, "a link to a folder that is listed already")
                continue
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries)
        except OSError as error:
            yield folder, SkippedFile(folder, f"a folder that cannot be opened: {_error_text(error)}", is_unopened=True)
            continue
        searched.append(folder)
        for name in names:
            path = folder / name
            if name.startswith("."):
                yield path, SkippedFile(path, HIDDEN)
                continue
            try:
                mode = path.stat().st_mode
            except OSError as error:
                yield path, SkippedFile(path, _explain_missing(path, error), is_unopened=True)
                continue
            if not stat.S_ISDIR(mode):
                yield path, None if stat.S_ISREG(mode) else SkippedFile(path, _name_special(mode))
            elif not path.is_symlink():
                folders.append(path)
            elif _links_to_parent(path):
                yield path, SkippedFile(path, "a link to a folder that it lies in")
            else:
                linked.append(path)
        linked.sort()


def _links_to_parent(link: Path) -> bool:
    """Return whether a link points to a folder that contains the link."""
    return link.parent.resolve().is_relative_to(link.resolve())


def _reject_dicomdir(path: Path) -> None:
    try:
        head = _read_head(path)
    except OSError:  # reported when the file is read
        return
    if _is_dicomdir(path.name, head):
        raise ImageReadError(path, "an index of DICOM files (DICOMDIR), not a radiograph; name its folder")


def _classify(path: Path) -> SkippedFile | None:
    """Return a regular file as a `SkippedFile` with the reason; None if it may be a radiograph."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return None
    try:
        head = _read_head(path)
    except OSError as error:
        return SkippedFile(path, _error_text(error), is_unopened=True)
    if _is_dicomdir(path.name, head):
        return SkippedFile(path, "an index of DICOM files")
    if is_dicom(head):
        return None
    if suffix == ".npy":
        reason = numpy_file.explain_shape(head)
        return SkippedFile(path, reason) if reason else None
    if file_format := detect_format(head):
        reason = f"a {file_format} file with another suffix; rename it to .{file_format.lower()}"
        return SkippedFile(path, reason)
    for suffix, name in _UNSUPPORTED.items():
        if path.name.lower().endswith(suffix):
            return SkippedFile(path, f"{name}, which is not supported ({_SUPPORTED})")
    return SkippedFile(path, "not an image")


def _read_head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _is_dicomdir(name: str, head: bytes) -> bool:
    return is_dicom(head) and (name.upper() == "DICOMDIR" or _DICOMDIR_UID in head)


def _explain_missing(path: Path, error: OSError) -> str:
    if path.is_symlink() and isinstance(error, FileNotFoundError):
        return "a broken link"
    return "no such file or folder" if isinstance(error, FileNotFoundError) else _error_text(error)


def _name_special(mode: int) -> str:
    return _SPECIAL.get(stat.S_IFMT(mode), "a special file")


def _describe_first(root: Path, skipped_files: list[SkippedFile]) -> str:
    """Describe the first skipped file and the number of the others, for a message."""
    visible = [file for file in skipped_files if file.reason != HIDDEN]
    if not visible:
        return ""
    more = f", and {len(visible) - 1} more" if len(visible) > 1 else ""
    return f" (skipped: {visible[0].path.relative_to(root)}: {visible[0].reason}{more})"


def _error_text(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
