"""How a file stores its pixels: what can be told of a radiograph's origin without looking at it."""

import contextlib
import struct
from typing import NamedTuple

from cxrjax.io import images, jpeg_segments, limits
from cxrjax.io.dicom_elements import MAGIC, PREAMBLE, read_header, read_text
from cxrjax.io.errors import UnreadableImage

_PNG_HEADER = struct.Struct(
    ">4xI4s2IBB"
)  # after the first 4 bytes: length and type of IHDR, width, height, depth, color
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 4, 6: 4}  # by color type, as OpenCV decodes them; 3 is a palette
_PHOTOMETRIC = frozenset(  # PS3.3 C.7.6.3.1.2
    ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT")
    + ("YBR_RCT",)
)


class FileForm(NamedTuple):
    """What a file says of its pixels before they are decoded; 0 and "" where it says nothing.

    Attributes:
        bits: of a value; of DICOM those stored (BitsStored), which may be 10 or 12.
        color: channels as a number, or DICOM's PhotometricInterpretation.
    """

    bits: int = 0
    color: str = ""


_MAGIC = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"II*\0": "tiff", b"MM\0*": "tiff"}


def name_kind(data: bytes) -> str:
    """Return the kind of a file by its first bytes, as in `Radiograph.kind`; "" where they do not tell it."""
    if data[PREAMBLE : PREAMBLE + len(MAGIC)] == MAGIC:
        return "dicom"
    return next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), "")


def read_form(data: bytes, kind: str) -> FileForm:
    """Return the form of a file that was decoded without an error.

    Args:
        data: content of the file.
        kind: as in `Radiograph.kind`.
    """
    if kind == "dicom":
        return _read_dicom(data)
    if kind == "jsrt":
        return FileForm(16, "1")
    if kind == "png" and len(data) >= _PNG_HEADER.size:
        _, _, _, _, depth, color = _PNG_HEADER.unpack_from(data, 4)
        return FileForm(max(8, depth), str(_PNG_CHANNELS.get(color, "")))
    if kind == "jpeg":
        with contextlib.suppress(jpeg_segments.NotJpeg):  # decoders forgive more than the standard allows
            return FileForm(8, str(jpeg_segments.count_components(data)))
    try:
        pixels = images.decode_values(data, limits.current())
    except UnreadableImage:
        return FileForm()
    return FileForm(8 * pixels.itemsize, str(1 if pixels.ndim == 2 else pixels.shape[2]))


def _read_dicom(data: bytes) -> FileForm:
    header = read_header(data, ("PhotometricInterpretation", "BitsStored"))
    bits, color = read_text(header, "BitsStored"), read_text(header, "PhotometricInterpretation")
    return FileForm(int(bits) if bits.isdigit() else 0, color if color in _PHOTOMETRIC else "")
