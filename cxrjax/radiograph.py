"""Files to radiographs: PNG, JPEG, TIFF, DICOM and JSRT .IMG, at their native depth.

`read` opens one; `cxrjax.io.files` lists those of a folder. What a file is, its content decides and not its name; only
JSRT's .IMG, which is nothing but pixels, is known by its name. Whatever goes wrong is an `UnreadableRadiograph`: the
file and the reason.
"""

import io
import logging
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pydicom
from pydicom import pixels as dicom_pixels
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

# The decoders' own complaints lack the file's name, and pydicom's quote what the file says, a patient's name among it.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

SMALLEST_SIDE = 32  # px; below this lie icons and thumbnails
JSRT_SHAPE, JSRT_SPACING = (2048, 2048), (0.175, 0.175)  # px; mm (Shiraishi et al. 2000)
JSRT_BYTES = JSRT_SHAPE[0] * JSRT_SHAPE[1] * 2

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom", ".img"})
PICTURES = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG", b"II*\0": "TIFF", b"MM\0*": "TIFF"}
DICOM_AT, DICOM_MAGIC = 128, b"DICM"
DICOM_BARE = b"\x08\x00"  # a data set written without preamble begins with its group 0008

# Only these are taken out of a DICOM file, so that nothing of the patient can reach an error, a log or a result.
DICOM_TAGS = [
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("SOPClassUID", "PixelSpacing", "ImagerPixelSpacing", "ViewPosition", "PatientOrientation"),
    *("ModalityLUTSequence", "RescaleIntercept", "RescaleSlope"),
    *("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction"),
    *("RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor"),
    *("BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData"),
    *("GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData"),
    *("PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
]


class UnreadableRadiograph(Exception):
    """A file that holds no usable radiograph: `path` is the file, `reason` a sentence without it."""

    def __init__(self, path: str | Path, reason: str):
        super().__init__(str(path), reason)
        self.path, self.reason = str(path), reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class Radiograph:
    """One radiograph as its file holds it.

    Attributes:
        pixels: [H, W] uint8 or uint16, native depth.
        path: where it came from.
        kind: "png", "jpeg", "tiff", "dicom" or "jsrt".
        inverted: values rise with exposure, so that dense anatomy is dark: JSRT .IMG, MONOCHROME1, some TIFF.
        spacing: (row, column) distance between pixel centres in mm; None where the file does not say.
        view: as upstream writes it ("PA", "AP", "LL"), "LATERAL" where only the patient's orientation tells it; or "".
    """

    pixels: np.ndarray
    path: str
    kind: str
    inverted: bool = False
    spacing: tuple[float, float] | None = None
    view: str = ""


def read(path: str | Path) -> Radiograph:
    """Reads one file.

    Raises:
        UnreadableRadiograph: missing, no permission, a folder, or anything that `decode` refuses.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise UnreadableRadiograph(path, "no such file or folder") from error
    except OSError as error:
        raise UnreadableRadiograph(path, (error.strerror or type(error).__name__).lower()) from error
    return decode(data, str(path))


def decode(data: bytes, name: str) -> Radiograph:
    """Decodes the bytes of one file; `name` is its path, or what to call it.

    Raises:
        UnreadableRadiograph: not an image of a kind we know, damaged, several frames, too small, or all of one value.
    """
    try:
        radiograph = _decode_by_content(data, name)
    except UnreadableRadiograph:
        raise
    except Exception as error:  # decoders raise whatever they like on damaged files
        raise UnreadableRadiograph(name, f"cannot be decoded: {_first_sentence(error)}") from error
    height, width = radiograph.pixels.shape
    if min(height, width) < SMALLEST_SIDE:
        raise UnreadableRadiograph(name, f"too small: {width} x {height} pixels, {SMALLEST_SIDE} a side needed")
    if radiograph.pixels.min() == radiograph.pixels.max():
        raise UnreadableRadiograph(name, "blank: every pixel is the same")
    return radiograph


def _decode_by_content(data: bytes, name: str) -> Radiograph:
    suffix = Path(name).suffix.lower()
    if not data:
        raise UnreadableRadiograph(name, "empty file")
    if data[DICOM_AT : DICOM_AT + len(DICOM_MAGIC)] == DICOM_MAGIC:
        return _decode_dicom(data, name)
    for magic, kind in PICTURES.items():
        if data.startswith(magic):
            return _decode_picture(data, name, kind)
    if suffix == ".img":
        return _decode_jsrt(data, name)
    if data.startswith(DICOM_BARE):
        return _decode_dicom(data, name)
    raise UnreadableRadiograph(name, "not an image of a known kind (PNG, JPEG, TIFF, DICOM or JSRT .IMG)")


def _decode_jsrt(data: bytes, name: str) -> Radiograph:
    if len(data) != JSRT_BYTES:
        raise UnreadableRadiograph(name, f"not a JSRT image, or truncated: {len(data)} bytes instead of {JSRT_BYTES}")
    pixels = np.frombuffer(data, ">u2").reshape(JSRT_SHAPE).astype(np.uint16)
    return Radiograph(pixels, name, "jsrt", inverted=True, spacing=JSRT_SPACING)


def _decode_picture(data: bytes, name: str, kind: str) -> Radiograph:
    """Colour becomes luminance (ITU-R 601, as PIL's "L"); a JPEG or TIFF is turned as its orientation tag says."""
    if kind == "PNG" and b"acTL" in data[: data.find(b"IDAT")]:
        raise UnreadableRadiograph(name, "an animated PNG, not one radiograph")
    buffer = np.frombuffer(data, np.uint8)
    # A PNG comes with its transparency, and may be refused before libpng writes to the terminal that it lacks its end.
    flags = cv2.IMREAD_UNCHANGED if kind == "PNG" else cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH
    pixels = None if kind == "PNG" and b"IEND" not in data else cv2.imdecode(buffer, flags)
    if pixels is None:
        raise UnreadableRadiograph(name, f"truncated or damaged {kind} file")
    if kind == "TIFF" and (pages := len(cv2.imdecodemulti(buffer, cv2.IMREAD_UNCHANGED)[1])) > 1:
        raise UnreadableRadiograph(name, f"{pages} pages, not one radiograph")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise UnreadableRadiograph(name, f"{pixels.dtype} pixels, where 8 or 16 bit unsigned are needed")
    if pixels.ndim == 3:
        pixels = _luminance(pixels)
    # OpenCV turns white-is-zero TIFFs the right way up at 8 bit only.
    inverted = kind == "TIFF" and pixels.dtype == np.uint16 and _is_white_zero(data)
    return Radiograph(pixels, name, kind.lower(), inverted=inverted)


def _luminance(colour: np.ndarray) -> np.ndarray:
    """Blue, green, red and perhaps alpha [H, W, 3 or 4] to grey [H, W]; what is transparent turns black."""
    grey = cv2.cvtColor(colour[..., :3], cv2.COLOR_BGR2GRAY)
    if colour.shape[2] == 3:
        return grey
    return np.rint(grey * (colour[..., 3] / np.iinfo(colour.dtype).max)).astype(grey.dtype)


def _is_white_zero(data: bytes) -> bool:
    """Whether PhotometricInterpretation (tag 262) of the first page of a TIFF is 0, WhiteIsZero."""
    order = "<" if data.startswith(b"II") else ">"
    (directory,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, directory)
    entries = (struct.unpack_from(order + "HHIH", data, directory + 2 + 12 * index) for index in range(count))
    return any(tag == 262 and value == 0 for tag, _, _, value in entries)


def _decode_dicom(data: bytes, name: str) -> Radiograph:
    """Grey as a viewer shows it: modality LUT, then VOI LUT or first window (PS3.4 N.2); colour as luminance."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(io.BytesIO(data), force=True, specific_tags=DICOM_TAGS)
        if "PixelData" not in dataset:
            # The reader gives up everything where the file ends inside an element.
            raise UnreadableRadiograph(name, "a DICOM file without pixel data" if dataset else "truncated DICOM file")
        if int(dataset.get("NumberOfFrames") or 1) > 1:
            raise UnreadableRadiograph(name, f"{dataset.NumberOfFrames} frames, not one radiograph")
        stored = _stored_values(dataset, name)
        if stored.dtype.itemsize > 2:
            raise UnreadableRadiograph(name, f"{8 * stored.dtype.itemsize} bits a pixel, at most 16 are read")
        photometric = dataset.PhotometricInterpretation
        if photometric == "PALETTE COLOR":
            stored = dicom_pixels.apply_color_lut(stored, dataset)[..., :3]
        if stored.ndim == 3:
            pixels = cv2.cvtColor(np.ascontiguousarray(stored), cv2.COLOR_RGB2GRAY)
        else:
            pixels = _as_displayed(stored, dataset, blank_is_top=photometric == "MONOCHROME1")
    spacing = dataset.get("PixelSpacing") or dataset.get("ImagerPixelSpacing")
    return Radiograph(
        pixels,
        name,
        "dicom",
        inverted=photometric == "MONOCHROME1",
        spacing=(float(spacing[0]), float(spacing[1])) if spacing else None,
        view=_view(dataset),
    )


def _stored_values(dataset: pydicom.Dataset, name: str) -> np.ndarray:
    """Decompresses to [H, W] or RGB [H, W, 3]."""
    if "TransferSyntaxUID" not in dataset.file_meta:  # no meta group; the reader has found out how the file is written
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    try:
        stored = dicom_pixels.pixel_array(dataset)
        return stored.astype(stored.dtype.newbyteorder("="), copy=False)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # each decoder has its own; the one in Rust panics beside Exception
        syntax = dataset.file_meta.TransferSyntaxUID.name
        raise UnreadableRadiograph(name, f"truncated, damaged or unsupported pixel data ({syntax})") from error


def _as_displayed(stored: np.ndarray, dataset: pydicom.Dataset, *, blank_is_top: bool) -> np.ndarray:
    """Stored values [H, W] to uint8 or uint16, through the file's own look-up tables.

    Unsigned values that the tables leave alone keep their depth; all others are spread over the full range of uint16.
    Padding around the image comes out black, whatever its value.
    """
    padding = _padding(stored, dataset)
    seen = stored[~padding] if padding.any() else stored
    low, high = (int(seen.min()), int(seen.max())) if seen.size else (0, 0)
    levels = np.arange(low, high + 1).astype(stored.dtype)  # each level meets the tables but once
    shown = dicom_pixels.apply_voi_lut(dicom_pixels.apply_modality_lut(levels, dataset), dataset).astype(np.float64)
    if low >= 0 and np.array_equal(shown, levels):
        table = levels.astype(np.uint8 if stored.dtype.itemsize == 1 else np.uint16)
        blank = high if blank_is_top else 0
    else:
        span = np.ptp(shown) or 1
        table = np.rint((shown - shown.min()) / span * 65535).astype(np.uint16)
        blank = 65535 if blank_is_top else 0
    pixels = table[np.clip(stored, low, high).astype(np.int32) - low]
    pixels[padding] = blank
    return pixels


def _padding(stored: np.ndarray, dataset: pydicom.Dataset) -> np.ndarray:
    first = dataset.get("PixelPaddingValue")
    if first is None:
        return np.zeros(stored.shape, bool)
    last = dataset.get("PixelPaddingRangeLimit", first)
    return (stored >= min(first, last)) & (stored <= max(first, last))


def _view(dataset: pydicom.Dataset) -> str:
    view = str(dataset.get("ViewPosition") or "").strip()
    orientation = dataset.get("PatientOrientation") or [""]
    # Rows that run towards the patient's front or back show the patient from the side.
    return view or ("LATERAL" if str(orientation[0])[:1] in ("A", "P") else "")


def _first_sentence(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(": .")
