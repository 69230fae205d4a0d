"""Image headers, which are read before decoding, and checks of their size against the limits."""

from dataclasses import dataclass
from typing import Literal

from cxrjax.io.errors import ImageDecodeError
from cxrjax.io.limits import Limits

# Maximum bytes (or pixels) that one compressed byte can represent.
DEFLATE_RATIO = 1032  # 258 bytes from two bits
LZW_RATIO = 2048  # strings of at most 3838 bytes from codes of at least 9 bits; the table is reset when full
PACKBITS_RATIO = 64  # 128 bytes from two
JPEG_PIXELS = 512  # of Huffman-coded JPEG: 8 blocks of one bit each


@dataclass(frozen=True)
class Header:
    """Header of an image.

    Attributes:
        width: pixels, as stored.
        height: pixels, as stored.
        orientation: Exif orientation, 1 (as stored) to 8.
        white_is_zero: whether values rise with darkness.
        transparent: gray level of transparent pixels, as decoded; None if there are none.
    """

    width: int
    height: int
    orientation: int = 1
    white_is_zero: bool = False
    transparent: int | None = None


def check_size(width: int, height: int, limits: Limits, format_name: str) -> None:
    """Check an image's size.

    Raises:
        ImageDecodeError: the image has no pixels, or more than `limits` allow.
    """
    if width < 1 or height < 1:
        raise ImageDecodeError(f"truncated or damaged {format_name} file: it has no pixels")
    if width * height > limits.max_pixels:
        raise ImageDecodeError(
            f"too large: {width} x {height} pixels, at most {limits.max_pixels / 1e6:g} million are allowed "
            "(--limits=max_pixels=N sets another limit)"
        )


def check_bytes(size: int, limits: Limits) -> None:
    """Check a file's size.

    Raises:
        ImageDecodeError: the file has more bytes than `limits` allow.
    """
    if size > limits.max_bytes:
        raise ImageDecodeError(
            f"too large: {size} bytes, at most {limits.max_bytes / 2**20:g} MiB are allowed "
            "(--limits=max_bytes=N sets another limit)"
        )


def insufficient_data(format_name: str) -> ImageDecodeError:
    """Return the error for a file whose compressed data is too short for the pixels in its header."""
    return ImageDecodeError(f"truncated or damaged {format_name} file: less data than its header's pixels need")


def read_orientation(exif: bytes) -> int:
    """Return the orientation (1 to 8) of an Exif block, which has the structure of a TIFF; 1 if none is valid."""
    exif = exif.removeprefix(b"Exif\0\0")  # prefix in JPEG; some programs also write it in PNG
    orders: dict[bytes, Literal["little", "big"]] = {b"II*\0": "little", b"MM\0*": "big"}
    if exif[:4] not in orders:
        return 1
    order = orders[exif[:4]]
    start = int.from_bytes(exif[4:8], order)
    count = int.from_bytes(exif[start : start + 2], order)
    for entry in range(start + 2, min(start + 2 + 12 * count, len(exif) - 11), 12):
        if int.from_bytes(exif[entry : entry + 2], order) == 0x0112:
            value = int.from_bytes(exif[entry + 8 : entry + 10], order)
            return value if 1 <= value <= 8 else 1
    return 1
