"""Files to radiographs: PNG, JPEG, TIFF, WebP, BMP, DICOM, NumPy .npy and JSRT .IMG, at their native depth.

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


def read(path: str | Path, value_range: tuple[float, float] | None = None) -> Radiograph:
    """Read one file.

    Args:
        path: the file.
        value_range: least and greatest value of a NumPy file; None for the whole range of uint8 and uint16, and 0 to 1
            for floats. Other files do not use it.

    Raises:
        ImageReadError: missing, no permission, a folder, or anything that `decode` refuses.
    """
    return reader.shared().read(path, value_range)


def decode(data: bytes, name: str) -> Radiograph:
    """Decode the bytes of one file; `name` is its path, or what to call it.

    Raises:
        ImageReadError: not an image of a kind that is read, damaged, several frames, beyond the limits, too
            small, or of one value; or a decoder that crashed or went beyond the limits of time and memory.
    """
    return reader.shared().decode(data, name)
