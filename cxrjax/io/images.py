"""PNG, JPEG and TIFF, and of masks GIF and BMP: bytes to pixels, the same way for radiographs, masks and lesions.

Before anything is decoded, the header is compared with the limits and the file's structure is checked. Where the
process captures the decoders' complaints (`runtime.complaints`), one that means damaged data refuses the file: libjpeg
and libtiff fill up what is lost and report it nowhere else.
"""

import contextlib
import re
from collections.abc import Callable

import cv2
import numpy as np

from cxrjax.io import jpeg_header, png_header, tiff_header
from cxrjax.io.errors import UnreadableImage
from cxrjax.io.header import Header, check_bytes, check_size
from cxrjax.io.limits import Limits
from cxrjax.runtime import complaints

# The decoders' complaints lack the file's name.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

KINDS = {png_header.MAGIC: "PNG", jpeg_header.MAGIC: "JPEG", **dict.fromkeys(tiff_header.MAGICS, "TIFF")}
_INSPECT: dict[str, Callable[[bytes, Limits], Header]] = {
    "PNG": png_header.inspect,
    "JPEG": jpeg_header.inspect,
    "TIFF": tiff_header.inspect,
}
# The beginning of a file of a known kind that is not read -> what to call it.
_OTHER_KINDS = (
    (rb"RIFF....WEBP", "a WebP image"),
    (rb"GIF8[79]a", "a GIF image"),
    (rb"BM", "a BMP image"),
    (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (rb"II\+\0|MM\0\+", "a BigTIFF image"),
    (rb"....ftyp(avif|avis)", "an AVIF image"),
    (rb"....ftyp(heic|heix|mif1|msf1)", "a HEIF image"),
    (rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
    (rb"\x1f\x8b", "a gzip archive, perhaps a NIfTI file"),
    (rb"\x93NUMPY", "a NumPy array"),
    (rb"PK\x03\x04", "a ZIP archive"),
    (rb"Rar!|7z\xbc\xaf\x27\x1c", "an archive"),
    (rb"%PDF-", "a PDF document"),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (rb"NRRD000", "an NRRD file"),
    (rb"P[1-7]\s", "a Netpbm image"),
    (rb"8BPS", "a Photoshop image"),
    (rb"(\xef\xbb\xbf)?\s*<(!DOCTYPE|html|HTML|\?xml|svg)", "a web page or XML file"),
)
_NIFTI_AT = 344
_NIFTI = (b"n+1\0", b"ni1\0", b"n+2\0", b"ni2\0")
_DAMAGE = re.compile(
    r"Corrupt JPEG|[Pp]remature end|Inconsistent progression|libpng error"
    r"|IDAT: (incorrect|invalid|Not enough|Too little)|TIFF_Error"
    r"|Discarding \d+ bytes|Not enough data|Decoding error"
)
OUT_OF_MEMORY = -4  # cv2.Error.StsNoMem
_TRANSPOSED = 5  # the orientations of Exif from 5 on


def name_kind(data: bytes) -> str:
    """Return "PNG", "JPEG" or "TIFF"; "" for bytes of another kind."""
    return next((kind for magic, kind in KINDS.items() if data.startswith(magic)), "")


def name_other_kind(data: bytes) -> str:
    """Return what a file is that is not read, as "a WebP image"; "" where its beginning does not say."""
    if data[_NIFTI_AT : _NIFTI_AT + 4] in _NIFTI:
        return "a NIfTI file"
    return next((name for start, name in _OTHER_KINDS if re.match(start, data[:64], re.DOTALL)), "")


def decode_gray(data: bytes, limits: Limits) -> tuple[np.ndarray, bool]:
    """Decode a PNG, JPEG or TIFF to gray levels; color becomes luminance (ITU-R 601), what is transparent turns black.

    Returns:
        pixels: [H, W] uint8 or uint16, turned as the file's orientation says.
        inverted: whether values rise with darkness, which OpenCV has put right in 8-bit TIFFs.

    Raises:
        UnreadableImage: of another kind, damaged, animated, of several pages, beyond the limits, or of other numbers.
        MemoryError: decoding takes more memory than there is.
    """
    kind, header = _inspect(data, limits)
    # A PNG comes with its transparency.
    flags = cv2.IMREAD_UNCHANGED if kind == "PNG" else cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH
    pixels = _decode(data, flags, kind)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise UnreadableImage(f"{pixels.dtype} pixels, where 8 or 16 bit unsigned are needed")
    if pixels.ndim == 3:
        pixels = _luminance(pixels)
    if header.transparent is not None:
        pixels[pixels == header.transparent] = 0
    if kind == "PNG":
        pixels = orient(pixels, header.orientation)
    return pixels, kind == "TIFF" and pixels.dtype == np.uint16 and header.white_is_zero


def decode_values(data: bytes, limits: Limits) -> np.ndarray:
    """Decode a mask: its values as they are, of every channel.

    Returns:
        [H, W] or [H, W, channels], turned as the file's orientation says.

    Raises:
        UnreadableImage: see `decode_gray`; GIF and BMP are read too.
        MemoryError: decoding takes more memory than there is.
    """
    kind, header = _inspect_simple(data, limits) or _inspect(data, limits)
    values = _decode(data, cv2.IMREAD_UNCHANGED, kind)
    return values if kind == "TIFF" else orient(values, header.orientation)  # OpenCV has turned a TIFF


def is_damaged_jpeg(data: bytes, *, lossless: bool) -> bool:
    """Return whether libjpeg complains of an 8-bit JPEG; False where this process does not capture its complaints."""
    flags = cv2.IMREAD_UNCHANGED if lossless else cv2.IMREAD_REDUCED_GRAYSCALE_8  # the latter saves most of the time
    if not complaints.are_captured():
        return False
    complaints.take()
    with contextlib.suppress(cv2.error):  # what it cannot decode at all, another decoder may
        cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    return bool(_DAMAGE.search(complaints.take()))


def orient(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an image as an orientation of Exif (1 to 8) says.

    Args:
        pixels: [H, W] or [H, W, channels].
        orientation: 1 leaves it; 2, 4, 5 and 7 mirror; 3, 5, 6, 7 and 8 turn.

    Returns:
        The image upright; height and width change places from orientation 5 on.
    """
    if orientation >= _TRANSPOSED:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _inspect(data: bytes, limits: Limits) -> tuple[str, Header]:
    check_bytes(len(data), limits)
    kind = name_kind(data)
    if not kind:
        raise UnreadableImage(name_other_kind(data) or "not an image of a known kind")
    return kind, _INSPECT[kind](data, limits)


def _inspect_simple(data: bytes, limits: Limits) -> tuple[str, Header] | None:
    """Return the kind and the header of a GIF or BMP; None for all others."""
    check_bytes(len(data), limits)
    if re.match(rb"GIF8[79]a", data) and len(data) > 13:
        kind = "GIF"
        width = int.from_bytes(data[6:8], "little")
        height = int.from_bytes(data[8:10], "little")
    elif data.startswith(b"BM") and len(data) > 26:
        kind = "BMP"
        width = abs(int.from_bytes(data[18:22], "little", signed=True))
        height = abs(int.from_bytes(data[22:26], "little", signed=True))
    else:
        return None
    check_size(width, height, limits, kind)
    return kind, Header(width, height)


def _decode(data: bytes, flags: int, kind: str) -> np.ndarray:
    if complaints.are_captured():
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_WARNING)  # libtiff's come through OpenCV's log
    complaints.take()
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if error.code == OUT_OF_MEMORY:
            raise MemoryError from error
        pixels = None
    if pixels is None or _DAMAGE.search(complaints.take()):
        raise UnreadableImage(f"truncated or damaged {kind} file")
    return pixels


def _luminance(color: np.ndarray) -> np.ndarray:
    """Blue, green, red and perhaps alpha [H, W, 3 or 4] to gray [H, W]; what is transparent turns black."""
    gray = cv2.cvtColor(color[..., :3], cv2.COLOR_BGR2GRAY)
    if color.shape[2] == 4:
        for row, alpha in zip(gray, color[..., 3], strict=True):  # row by row: the product has eight times its bytes
            row[:] = np.rint(row * (alpha / np.iinfo(color.dtype).max))
    return gray
