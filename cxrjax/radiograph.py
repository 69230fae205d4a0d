"""Files to radiographs: PNG, JPEG, TIFF, DICOM and JSRT .IMG, at their native depth.

`find` lists the files, `read` opens one, in a process of its own that may die of it (`io.reader`). What a file is, its
content decides and not its name; only JSRT's .IMG, which is nothing but pixels, is known by its name. Whatever goes
wrong is an `UnreadableRadiograph`: the file and the reason.
"""

from pathlib import Path

from cxrjax.io import reader
from cxrjax.io.decoding import SMALLEST_SIDE
from cxrjax.io.dicom_header import MAGIC as DICOM_MAGIC
from cxrjax.io.dicom_header import MAGIC_AT as DICOM_AT
from cxrjax.io.errors import UnreadableRadiograph
from cxrjax.io.types import Radiograph

__all__ = ["SMALLEST_SIDE", "SUFFIXES", "Radiograph", "UnreadableRadiograph", "decode", "find", "read"]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom", ".img"})


def find(path: str | Path) -> list[Path]:
    """Lists the radiograph files at `path`: the file itself, or those anywhere under the folder, sorted.

    In a folder a file counts by its suffix, or by DICOM's magic (archives leave the suffix off); hidden files do not.

    Raises:
        UnreadableRadiograph: nothing there, or no radiograph in the folder.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.exists():
        raise UnreadableRadiograph(path, "no such file or folder")
    visible = (file for file in path.rglob("[!.]*") if file.is_file())
    files = sorted(file for file in visible if file.suffix.lower() in SUFFIXES or _has_dicom_magic(file))
    if not files:
        raise UnreadableRadiograph(path, "no radiograph in this folder")
    return files


def read(path: str | Path) -> Radiograph:
    """Read one file.

    Raises:
        UnreadableRadiograph: missing, no permission, a folder, or anything that `decode` refuses.
    """
    return reader.shared().read(path)


def decode(data: bytes, name: str) -> Radiograph:
    """Decode the bytes of one file; `name` is its path, or what to call it.

    Raises:
        UnreadableRadiograph: not an image of a kind that is read, damaged, several frames, beyond the limits, too
            small, or of one value; or a decoder that crashed or went beyond the limits of time and memory.
    """
    return reader.shared().decode(data, name)


def _has_dicom_magic(file: Path) -> bool:
    if file.name == "DICOMDIR":  # an index of files, itself no image
        return False
    try:
        with file.open("rb") as stream:
            stream.seek(DICOM_AT)
            return stream.read(len(DICOM_MAGIC)) == DICOM_MAGIC
    except OSError:
        return False
