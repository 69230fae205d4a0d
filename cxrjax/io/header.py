"""What an image's header says before anything is decoded, and the limits that it must keep."""

from dataclasses import dataclass

from cxrjax.io.errors import UnreadableImage
from cxrjax.io.limits import Limits

DEFLATE_RATIO = 1032  # the most bytes that one byte of deflate can become: 258 bytes from two bits
LZW_RATIO = 2048  # of strings of at most 3838 bytes, of codes of at least 9 bits, with the table begun again when full
PACKBITS_RATIO = 64  # 128 bytes from two
JPEG_PIXELS = 512  # the most pixels that one byte of Huffman-coded JPEG can become: 8 blocks of a bit each


@dataclass(frozen=True)
class Header:
    """What a header says of its image.

    Attributes:
        width: pixels, as stored.
        height: pixels, as stored.
        orientation: of Exif, 1 (as stored) to 8.
        white_is_zero: values rise with darkness.
        transparent: the gray level, as decoded, of pixels that are transparent; None where none is.
    """

    width: int
    height: int
    orientation: int = 1
    white_is_zero: bool = False
    transparent: int | None = None


def check_size(width: int, height: int, limits: Limits, kind: str) -> None:
    """Check an image's size.

    Raises:
        UnreadableImage: no pixels, or more than `limits` allow.
    """
    if width < 1 or height < 1:
        raise UnreadableImage(f"truncated or damaged {kind} file: it has no pixels")
    if width * height > limits.max_pixels:
        raise UnreadableImage(
            f"too large: {width} x {height} pixels, where at most {limits.max_pixels / 1e6:g} million are read "
            "(--limits=max_pixels=N sets another limit)"
        )


def check_bytes(size: int, limits: Limits) -> None:
    """Check a file's size.

    Raises:
        UnreadableImage: more bytes than `limits` allow.
    """
    if size > limits.max_bytes:
        raise UnreadableImage(
            f"too large: {size} bytes, where at most {limits.max_bytes / 2**20:g} MiB are read "
            "(--limits=max_bytes=N sets another limit)"
        )


def too_little(kind: str) -> UnreadableImage:
    """Return the error of a file whose compressed data cannot hold as many pixels as its header says."""
    return UnreadableImage(f"truncated or damaged {kind} file: fewer data than its header's pixels need")


def read_orientation(exif: bytes) -> int:
    """Return the orientation (1 to 8) of an Exif block, which has the form of a TIFF; 1 where none is valid."""
    exif = exif.removeprefix(b"Exif\0\0")  # which belongs to JPEG, and which some programs write in PNG too
    order = {b"II*\0": "little", b"MM\0*": "big"}.get(exif[:4])
    if order is None:
        return 1
    start = int.from_bytes(exif[4:8], order)
    count = int.from_bytes(exif[start : start + 2], order)
    for entry in range(start + 2, min(start + 2 + 12 * count, len(exif) - 11), 12):
        if int.from_bytes(exif[entry : entry + 2], order) == 0x0112:
            value = int.from_bytes(exif[entry + 8 : entry + 10], order)
            return value if 1 <= value <= 8 else 1
    return 1
