"""List the radiographs of a folder, and every other file of it with the reason why it is not one.

A name is any bytes: what is not UTF-8 in it is carried as surrogates, as Python's own file functions do.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cxrjax.io.dicom_header import is_dicom
from cxrjax.io.errors import UnreadableRadiograph
from cxrjax.io.images import name_kind

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom", ".img"})
HIDDEN = "hidden"
_KINDS_READ = "PNG, JPEG, TIFF, DICOM and JSRT .IMG are read"
_KINDS_NOT_READ = {
    **{".webp": "WebP", ".bmp": "BMP", ".gif": "GIF", ".jp2": "JPEG 2000", ".j2k": "JPEG 2000", ".jpx": "JPEG 2000"},
    **{".jxl": "JPEG XL", ".heic": "HEIC", ".heif": "HEIC", ".avif": "AVIF", ".psd": "Photoshop", ".svg": "SVG"},
    **{".npy": "NumPy", ".npz": "NumPy", ".mat": "MATLAB", ".nii": "NIfTI", ".nii.gz": "NIfTI", ".nrrd": "NRRD"},
    **{".mha": "MetaImage", ".mhd": "MetaImage", ".pdf": "PDF", ".pgm": "PGM", ".ppm": "PPM", ".exr": "OpenEXR"},
}
_SPECIAL = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_DICOMDIR_UID = b"1.2.840.10008.1.3.10\0"  # Media Storage Directory Storage
_HEAD_BYTES = 1024  # the DICOM magic, and the SOP class that the meta group behind it names


class PassedOver(NamedTuple):
    """A file or a folder that is not listed as a radiograph.

    Attributes:
        path: the file or folder.
        reason: a phrase without the path.
        unknown: whether radiographs may be in it: the folder or the file could not be opened.
    """

    path: Path
    reason: str
    unknown: bool = False


class Listing(NamedTuple):
    """The files of a folder, all sorted by path.

    Attributes:
        radiographs: files that might be radiographs.
        passed_over: all others.
        folders: those that were looked into, the folder itself among them; none where it is a file.
    """

    radiographs: list[Path]
    passed_over: list[PassedOver]
    folders: list[Path]


def list_files(root: str | Path) -> Listing:
    """List the radiographs at `root`: the file itself, or those anywhere under the folder.

    In a folder a file counts by its suffix, or by DICOM's magic (archives leave the suffix off). Linked files and
    folders count as others do, but each folder is entered once: a link that leads back up, or to a folder that is
    listed already, is passed over. Hidden files and folders are passed over. Only regular files are ever opened.

    Raises:
        UnreadableRadiograph: there is nothing at `root`, it is neither a file nor a folder, or it holds no radiograph.
    """
    root = Path(root)
    try:
        mode = root.stat().st_mode
    except OSError as error:
        raise UnreadableRadiograph(root, _explain_missing(root, error)) from error
    if stat.S_ISREG(mode):
        _refuse_dicomdir(root)
        return Listing([root], [], [])
    if not stat.S_ISDIR(mode):
        raise UnreadableRadiograph(root, f"{_name_special(mode)}, neither a file nor a folder")
    radiographs = []
    passed_over = []
    folders: list[Path] = []
    for path, reason in _walk(root, folders):
        if reason is None:
            reason = _classify(path)
        if reason is None:
            radiographs.append(path)
        else:
            passed_over.append(reason)
    listing = Listing(sorted(radiographs), sorted(passed_over), sorted(folders))
    if not radiographs:
        raise UnreadableRadiograph(root, f"no radiograph in this folder{_name_first(root, listing.passed_over)}")
    return listing


def check_regular(path: Path) -> None:
    """See, without opening it, that a file which was listed is still a regular file.

    Raises:
        UnreadableRadiograph: it is gone, or something else has its name now.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise UnreadableRadiograph(path, _explain_missing(path, error)) from error
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else _name_special(mode)
        raise UnreadableRadiograph(path, f"{what}, not a file")


def _walk(root: Path, looked_into: list[Path]) -> Iterator[tuple[Path, PassedOver | None]]:
    """Yield each file under `root`, with the reason where it, or a folder, is passed over; add the folders to a list.

    Folders that are no links come first, so that which of two names of one folder is entered does not depend on the
    order of the names.
    """
    entered = set()
    linked = []
    folders = [root]
    while folders or linked:
        folder = folders.pop() if folders else linked.pop(0)
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in entered:
                yield folder, PassedOver(folder, "a link to a folder that is listed already")
                continue
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries)
        except OSError as error:
            yield folder, PassedOver(folder, f"a folder that cannot be listed: {_say(error)}", unknown=True)
            continue
        looked_into.append(folder)
        for name in names:
            path = folder / name
            if name.startswith("."):
                yield path, PassedOver(path, HIDDEN)
                continue
            try:
                mode = path.stat().st_mode
            except OSError as error:
                yield path, PassedOver(path, _explain_missing(path, error), unknown=True)
                continue
            if not stat.S_ISDIR(mode):
                yield path, None if stat.S_ISREG(mode) else PassedOver(path, _name_special(mode))
            elif not path.is_symlink():
                folders.append(path)
            elif _leads_up(path):
                yield path, PassedOver(path, "a link to a folder that it lies in")
            else:
                linked.append(path)
        linked.sort()


def _leads_up(link: Path) -> bool:
    """Return whether a link to a folder leads to a folder that holds the link."""
    return link.parent.resolve().is_relative_to(link.resolve())


def _refuse_dicomdir(path: Path) -> None:
    try:
        head = _read_head(path)
    except OSError:  # whoever reads the file says why it cannot be
        return
    if _is_dicomdir(path.name, head):
        raise UnreadableRadiograph(path, "an index of DICOM files (DICOMDIR), not a radiograph; name its folder")


def _classify(path: Path) -> PassedOver | None:
    """Return why a regular file is not listed as a radiograph; None where it is."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return None
    try:
        head = _read_head(path)
    except OSError as error:
        return PassedOver(path, _say(error), unknown=True)
    if _is_dicomdir(path.name, head):
        return PassedOver(path, "an index of DICOM files")
    if is_dicom(head):
        return None
    if kind := name_kind(head):
        return PassedOver(path, f"a {kind} file by another name; it is read if its name ends in .{kind.lower()}")
    for ending, kind in _KINDS_NOT_READ.items():
        if path.name.lower().endswith(ending):
            return PassedOver(path, f"{kind}, which is not read ({_KINDS_READ})")
    return PassedOver(path, "not an image")


def _read_head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _is_dicomdir(name: str, head: bytes) -> bool:
    return is_dicom(head) and (name.upper() == "DICOMDIR" or _DICOMDIR_UID in head)


def _explain_missing(path: Path, error: OSError) -> str:
    if path.is_symlink() and isinstance(error, FileNotFoundError):
        return "a link that leads nowhere"
    return "no such file or folder" if isinstance(error, FileNotFoundError) else _say(error)


def _name_special(mode: int) -> str:
    return _SPECIAL.get(stat.S_IFMT(mode), "a special file")


def _name_first(root: Path, passed_over: list[PassedOver]) -> str:
    """Return, for a message, the first of the files that were passed over, and how many there are."""
    visible = [each for each in passed_over if each.reason != HIDDEN]
    if not visible:
        return ""
    more = f", and {len(visible) - 1} more" if len(visible) > 1 else ""
    return f" (passed over: {visible[0].path.relative_to(root)}: {visible[0].reason}{more})"


def _say(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
