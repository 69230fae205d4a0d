"""Decoding of PNG, JPEG, TIFF, WebP and BMP, and of GIF masks, for radiographs, masks and lesion maps alike.

Before decoding, the header is checked against the limits and the structure of the file is checked. If the process
captures the decoders' messages (`runtime.stderr_capture`), a message about damaged data refuses the file: libjpeg and
libtiff fill in lost data and report it nowhere else.
"""

import contextlib
import re
from collections.abc import Callable

import cv2
import numpy as np

from cxrjax.io import bmp_header, jpeg_header, png_header, tiff_header, webp_header
from cxrjax.io.errors import ImageDecodeError
from cxrjax.io.header import Header, check_bytes, check_size
from cxrjax.io.limits import Limits
from cxrjax.runtime import stderr_capture

# The decoders' messages do not name the file.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

FORMATS = {png_header.MAGIC: "PNG", jpeg_header.MAGIC: "JPEG", **dict.fromkeys(tiff_header.MAGICS, "TIFF")}
_INSPECT: dict[str, Callable[[bytes, Limits], Header]] = {
    "PNG": png_header.inspect,
    "JPEG": jpeg_header.inspect,
    "TIFF": tiff_header.inspect,
    "WebP": webp_header.inspect,
    "BMP": bmp_header.inspect,
}
# The affine of a single slice rarely says which side is up, and its values have no agreed range.
NIFTI_ADVICE = "save its slice, upright, as 16-bit PNG or .npy"
# First bytes of files in unsupported formats -> description.
_UNSUPPORTED = (
    (rb"GIF8[79]a", "a GIF image"),
    (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (rb"II\+\0|MM\0\+", "a BigTIFF image"),
    (rb"....ftyp(avif|avis)", "an AVIF image"),
    (rb"....ftyp(heic|heix|mif1|msf1)", "a HEIF image"),
    (rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
    (rb"\x1f\x8b", f"a gzip archive, perhaps a NIfTI file ({NIFTI_ADVICE})"),
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
_TRANSPOSED = 5  # first Exif orientation that swaps height and width


def detect_format(data: bytes) -> str:
    """Return "PNG", "JPEG", "TIFF", "WebP" or "BMP"; "" for any other format."""
    if webp_header.is_webp(data):
        return "WebP"
    if bmp_header.is_bmp(data):
        return "BMP"
    return next((format_name for magic, format_name in FORMATS.items() if data.startswith(magic)), "")


def describe_unsupported(data: bytes) -> str:
    """Describe an unsupported file, as "a GIF image"; "" if its first bytes are not recognized."""
    if data[_NIFTI_AT : _NIFTI_AT + 4] in _NIFTI:
        return f"a NIfTI file ({NIFTI_ADVICE})"
    return next((name for start, name in _UNSUPPORTED if re.match(start, data[:64], re.DOTALL)), "")


def decode_gray(data: bytes, limits: Limits) -> tuple[np.ndarray, bool]:
    """Decode a PNG, JPEG, TIFF, WebP or BMP to gray levels.

    Color becomes luminance (ITU-R 601), and transparent pixels become black.

    Returns:
        pixels: [H, W] uint8 or uint16, rotated according to the file's orientation.
        inverted: whether values rise with darkness; OpenCV has already corrected this in 8-bit TIFFs.

    Raises:
        ImageDecodeError: unsupported format, damaged, animated, several pages, beyond the limits, or another dtype.
        MemoryError: decoding takes more memory than available.
    """
    format_name, header = _check_and_read_header(data, limits)
    # Keep the transparency of a PNG and a WebP; the fourth byte of a BMP is often not used. It also leaves out the
    # orientation, which OpenCV applies otherwise.
    keeps = format_name in ("PNG", "WebP")
    flags = cv2.IMREAD_UNCHANGED if keeps else cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH
    pixels = _decode(data, flags, format_name)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ImageDecodeError(f"{pixels.dtype} pixels, 8- or 16-bit unsigned are needed")
    if pixels.ndim == 3:
        pixels = _luminance(pixels)
    if header.transparent is not None:
        pixels[pixels == header.transparent] = 0
    if keeps:
        pixels = orient(pixels, header.orientation)
    return pixels, format_name == "TIFF" and pixels.dtype == np.uint16 and header.white_is_zero


def decode_values(data: bytes, limits: Limits) -> np.ndarray:
    """Decode a mask without converting its values or channels; GIF is supported too.

    Returns:
        [H, W] or [H, W, channels], rotated according to the file's orientation.

    Raises:
        ImageDecodeError: see `decode_gray`.
        MemoryError: decoding takes more memory than available.
    """
    format_name, header = _read_simple_header(data, limits) or _check_and_read_header(data, limits)
    values = _decode(data, cv2.IMREAD_UNCHANGED, format_name)
    return values if format_name == "TIFF" else orient(values, header.orientation)  # OpenCV has already rotated a TIFF


def is_damaged_jpeg(data: bytes, *, lossless: bool) -> bool:
    """Return whether libjpeg reports damage in an 8-bit JPEG; False if this process does not capture its messages."""
    flags = cv2.IMREAD_UNCHANGED if lossless else cv2.IMREAD_REDUCED_GRAYSCALE_8  # the reduced scale is much faster
    if not stderr_capture.is_active():
        return False
    stderr_capture.read_new()
    with contextlib.suppress(cv2.error):  # another decoder may support the file
        cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    return bool(_DAMAGE.search(stderr_capture.read_new()))


def orient(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an Exif orientation (1 to 8) to an image.

    Args:
        pixels: [H, W] or [H, W, channels].
        orientation: 1 is unchanged; 2, 4, 5 and 7 mirror; 3, 5, 6, 7 and 8 rotate.

    Returns:
        The upright image; height and width are swapped from orientation 5 on.
    """
    if orientation >= _TRANSPOSED:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _check_and_read_header(data: bytes, limits: Limits) -> tuple[str, Header]:
    check_bytes(len(data), limits)
    format_name = detect_format(data)
    if not format_name:
        raise ImageDecodeError(describe_unsupported(data) or "not an image of a supported format")
    return format_name, _INSPECT[format_name](data, limits)


def _read_simple_header(data: bytes, limits: Limits) -> tuple[str, Header] | None:
    """Return the format and the header of a GIF; None for all other files."""
    check_bytes(len(data), limits)
    if not re.match(rb"GIF8[79]a", data) or len(data) <= 13:
        return None
    width = int.from_bytes(data[6:8], "little")
    height = int.from_bytes(data[8:10], "little")
    check_size(width, height, limits, "GIF")
    return "GIF", Header(width, height)


def _decode(data: bytes, flags: int, format_name: str) -> np.ndarray:
    if stderr_capture.is_active():
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_WARNING)  # libtiff's messages go to OpenCV's log
    stderr_capture.read_new()
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if error.code == OUT_OF_MEMORY:
            raise MemoryError from error
        pixels = None
    if pixels is None or _DAMAGE.search(stderr_capture.read_new()):
        raise ImageDecodeError(f"truncated or damaged {format_name} file")
    return pixels


def _luminance(color: np.ndarray) -> np.ndarray:
    """Convert BGR or BGRA [H, W, 3 or 4] to gray [H, W]; transparent pixels become black."""
    gray = cv2.cvtColor(color[..., :3], cv2.COLOR_BGR2GRAY)
    if color.shape[2] == 4:
        for row, alpha in zip(
            gray, color[..., 3], strict=True
        ):  # row by row, since the float64 product needs eight times the memory
            row[:] = np.rint(row * (alpha / np.iinfo(color.dtype).max))
    return gray
