"""Storage format of a file's pixels, which can reveal a radiograph's origin without its content."""

import contextlib
import struct
from typing import NamedTuple

from cxrjax.io import images, jpeg_segments, limits
from cxrjax.io.dicom_elements import MAGIC, PREAMBLE, read_header, read_text
from cxrjax.io.errors import ImageDecodeError

_PNG_HEADER = struct.Struct(
    ">4xI4s2IBB"
)  # after the first 4 bytes: length and type of IHDR, width, height, depth, color
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 4, 6: 4}  # by color type, as OpenCV decodes them; 3 is a palette
_PHOTOMETRIC = frozenset(  # PS3.3 C.7.6.3.1.2
    ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT")
    + ("YBR_RCT",)
)


class PixelFormat(NamedTuple):
    """Bits and color of a file's pixels as stored; 0 and "" where the file does not state them.

    Attributes:
        bits: bits per value; for DICOM the stored bits (BitsStored), which may be 10 or 12.
        color: number of channels, or DICOM's PhotometricInterpretation.
    """

    bits: int = 0
    color: str = ""


_MAGIC = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"II*\0": "tiff", b"MM\0*": "tiff"}


def detect_format(data: bytes) -> str:
    """Return the format of a file by its first bytes, as in `Radiograph.format`; "" if it is not recognized."""
    if data[PREAMBLE : PREAMBLE + len(MAGIC)] == MAGIC:
        return "dicom"
    return next((file_format for magic, file_format in _MAGIC.items() if data.startswith(magic)), "")


def read_pixel_format(data: bytes, file_format: str) -> PixelFormat:
    """Return the pixel format of a file that was decoded without an error.

    Args:
        data: content of the file.
        file_format: as in `Radiograph.format`.
    """
    if file_format == "dicom":
        return _read_dicom(data)
    if file_format == "jsrt":
        return PixelFormat(16, "1")
    if file_format == "png" and len(data) >= _PNG_HEADER.size:
        _, _, _, _, depth, color = _PNG_HEADER.unpack_from(data, 4)
        return PixelFormat(max(8, depth), str(_PNG_CHANNELS.get(color, "")))
    if file_format == "jpeg":
        with contextlib.suppress(jpeg_segments.JpegStructureError):  # decoders accept more than the standard allows
            return PixelFormat(8, str(jpeg_segments.count_components(data)))
    try:
        pixels = images.decode_values(data, limits.current())
    except ImageDecodeError:
        return PixelFormat()
    return PixelFormat(8 * pixels.itemsize, str(1 if pixels.ndim == 2 else pixels.shape[2]))


def _read_dicom(data: bytes) -> PixelFormat:
    header = read_header(data, ("PhotometricInterpretation", "BitsStored"))
    bits = read_text(header, "BitsStored")
    color = read_text(header, "PhotometricInterpretation")
    return PixelFormat(int(bits) if bits.isdigit() else 0, color if color in _PHOTOMETRIC else "")
