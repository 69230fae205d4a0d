"""Files to radiographs: PNG, JPEG, TIFF, DICOM and JSRT .IMG, at their native depth.

`read` opens one, in a process of its own that may die of it (`io.reader`); `io.files` lists those of a folder. What a
file is, its content decides and not its name; only JSRT's .IMG, which is nothing but pixels, is known by its name.
Whatever goes wrong is an `ImageReadError`: the file and the reason.
"""

from pathlib import Path

from cxrjax.io import reader
from cxrjax.io.decoding import SMALLEST_SIDE
from cxrjax.io.errors import ImageReadError
from cxrjax.io.types import Radiograph

__all__ = ["SMALLEST_SIDE", "Radiograph", "ImageReadError", "decode", "read"]


def read(path: str | Path) -> Radiograph:
    """Read one file.

    Raises:
        ImageReadError: missing, no permission, a folder, or anything that `decode` refuses.
    """
    return reader.shared().read(path)


def decode(data: bytes, name: str) -> Radiograph:
    """Decode the bytes of one file; `name` is its path, or what to call it.

    Raises:
        ImageReadError: not an image of a kind that is read, damaged, several frames, beyond the limits, too
            small, or of one value; or a decoder that crashed or went beyond the limits of time and memory.
    """
    return reader.shared().decode(data, name)
