"""DICOM files to radiographs (PS3.3, PS3.5): the header checked first, then the stored values decoded, then displayed.

A value that the picture does not need never refuses a file: it is repaired or ignored, and the note says so.
"""

import re
import warnings
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pydicom
from pydicom import encaps
from pydicom import pixels as dicom_pixels
from pydicom.uid import (
    HTJ2K,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000TransferSyntaxes,
    JPEGLossless,
    JPEGLosslessSV1,
    RLELossless,
)

from cxrjax.io import dicom_display, images, jpeg_header, projection
from cxrjax.io.dicom_header import integer_of, numbers_of, read_dataset, text_of, texts_of, value_of
from cxrjax.io.errors import UnreadableImage
from cxrjax.io.header import PACKBITS_RATIO, check_size, too_little
from cxrjax.io.limits import Limits
from cxrjax.io.types import Radiograph

# Only these are taken out of a file, so that nothing of the patient can reach an error, a log or a result.
TAGS = (
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("PixelSpacing", "ImagerPixelSpacing", "PresentationLUTShape", *dicom_display.TAGS, *projection.TAGS),
    *("PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
)
_PALETTE = tuple(
    f"{color}PaletteColorLookupTable{part}" for color in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")
)
_PHOTOMETRICS = {  # samples of a pixel
    **dict.fromkeys(("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"), 1),
    **dict.fromkeys(("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT"), 3),
}
_SAMPLES_KNOWN = (1, 3, 4)  # 4 of retired interpretations
_MAX_BITS = 16
_MAX_TILES = 65_535  # of a JPEG 2000 codestream
_HIGH_THROUGHPUT = (HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL)
_END_OF_IMAGE = b"\xff\xd9"  # a frame may lack it
_J2K_START = b"\xff\x4f\xff\x51"
_MOST_MM = 10  # of a pixel
_LEAST_MM = 0.001
_LEFT_RIGHT = {"L", "R"}
_FEET_HEAD = {"F", "H"}


@dataclass(frozen=True)
class _Picture:
    """The image pixel module (PS3.3 C.7.6.3), checked."""

    rows: int
    columns: int
    samples: int
    photometric: str
    planar: int
    allocated: int
    stored: int
    high_bit: int
    signed: bool

    @property
    def bits_per_pixel(self) -> int:
        half = self.photometric == "YBR_FULL_422"  # two pixels share their colors
        return self.allocated * (2 if half else self.samples)


def decode(data: bytes, name: str, limits: Limits) -> Radiograph:
    """Decode a DICOM file: gray as a viewer shows it (modality LUT, then VOI LUT or window, PS3.4 N.2).

    Color becomes luminance.

    Raises:
        UnreadableImage: damaged, without pixels, several frames, more than 16 bits, a transfer syntax that is not read,
            or beyond the limits.
        MemoryError: decoding takes more memory than there is.
    """
    dataset, syntax = read_dataset(data, (*TAGS, *_PALETTE), limits)
    if "PixelData" not in dataset:
        # The reader gives up everything where the file ends inside an element.
        raise UnreadableImage("a DICOM file without pixel data" if dataset else "truncated DICOM file")
    notes: list[str] = []
    frames = integer_of(dataset, "NumberOfFrames") or 1
    if frames > 1:
        raise UnreadableImage(f"{frames} frames, not one radiograph")
    picture = _read_picture(dataset, limits, notes)
    pixel_data = value_of(dataset, "PixelData")
    stored = _decode_values(dataset, pixel_data, picture, syntax, limits)
    if picture.photometric == "PALETTE COLOR":
        stored = _apply_palette(stored, dataset)
    if stored.ndim == 3:
        pixels = cv2.cvtColor(np.ascontiguousarray(stored), cv2.COLOR_RGB2GRAY)
    else:
        padding = _find_padding(stored, dataset, pixel_data, picture)
        description = _describe(picture, syntax)
        blank_is_top = picture.photometric == "MONOCHROME1"
        pixels = dicom_display.display(stored, padding, dataset, description, blank_is_top=blank_is_top, notes=notes)
    _note_shape(dataset, picture, notes)
    spacing = _read_spacing(dataset)
    pixels, spacing = _turn_upright(pixels, spacing, dataset, notes)
    return Radiograph(
        pixels,
        name,
        "dicom",
        inverted=picture.photometric == "MONOCHROME1",
        spacing=spacing,
        view=projection.read_view(dataset),
        note="; ".join(notes),
        not_frontal=projection.explain_refusal(dataset),
    )


def explain_refusal(data: bytes, limits: Limits) -> str:
    """Return why the header of a DICOM file says that it is no frontal radiograph of the chest; "" if it does not.

    Raises:
        UnreadableImage: see `dicom_header.read_dataset`.
    """
    dataset, _ = read_dataset(data, projection.TAGS, limits)
    return projection.explain_refusal(dataset)


def _read_picture(dataset: pydicom.Dataset, limits: Limits, notes: list[str]) -> _Picture:
    rows = integer_of(dataset, "Rows")
    columns = integer_of(dataset, "Columns")
    if rows is None or columns is None:
        raise UnreadableImage("a damaged DICOM header: Rows and Columns are not whole numbers")
    check_size(columns, rows, limits, "DICOM")
    photometric = text_of(dataset, "PhotometricInterpretation").upper()
    if photometric.startswith("MONO"):
        photometric = re.sub(r"[\W_]", "", photometric)
    samples = integer_of(dataset, "SamplesPerPixel")
    if samples not in _SAMPLES_KNOWN:
        samples = _PHOTOMETRICS.get(photometric, 1)
    if not photometric or (samples == 1 and photometric not in _PHOTOMETRICS):
        fault = "is not valid" if photometric else "is missing"
        photometric = "MONOCHROME2" if samples == 1 else "RGB"
        notes.append(f"its PhotometricInterpretation {fault}, read as {photometric}")
    if _PHOTOMETRICS.get(photometric) != samples:
        raise UnreadableImage(
            "a damaged DICOM header: PhotometricInterpretation and SamplesPerPixel do not belong together"
        )
    allocated = integer_of(dataset, "BitsAllocated") or 0
    if allocated > _MAX_BITS and allocated % 8 == 0:
        raise UnreadableImage(f"{allocated} bits a pixel, at most {_MAX_BITS} are read")
    if allocated not in (1, 8, 16):
        raise UnreadableImage("a damaged DICOM header: BitsAllocated is none of 1, 8 and 16")
    stored = integer_of(dataset, "BitsStored") or 0
    if not 1 <= stored <= allocated:
        stored = allocated
        notes.append(f"its BitsStored is not valid, read as {allocated}")
    high_bit = integer_of(dataset, "HighBit")
    if high_bit is None or not stored - 1 <= high_bit < allocated:
        high_bit = stored - 1
    representation = integer_of(dataset, "PixelRepresentation") or 0
    return _Picture(
        rows=rows,
        columns=columns,
        samples=samples,
        photometric=photometric,
        planar=int(integer_of(dataset, "PlanarConfiguration") == 1),
        allocated=allocated,
        stored=stored,
        high_bit=high_bit,
        signed=representation == 1,
    )


def _describe(picture: _Picture, syntax: str) -> pydicom.Dataset:
    """Return a data set of the checked values alone, for pydicom's decoders and tables."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.Rows = picture.rows
    dataset.Columns = picture.columns
    dataset.SamplesPerPixel = picture.samples
    dataset.PhotometricInterpretation = picture.photometric
    if picture.samples > 1:
        dataset.PlanarConfiguration = picture.planar
    dataset.BitsAllocated = picture.allocated
    dataset.BitsStored = picture.stored
    dataset.HighBit = picture.stored - 1
    dataset.PixelRepresentation = int(picture.signed)
    return dataset


def _decode_values(
    dataset: pydicom.Dataset, pixel_data: Any, picture: _Picture, syntax: str, limits: Limits
) -> np.ndarray:
    """Decompress to [H, W] or RGB [H, W, 3]."""
    uid = UID(syntax)
    if not syntax or not uid.is_transfer_syntax:
        named = f" ({syntax})" if syntax else ""
        raise UnreadableImage(f"unsupported pixel data: its transfer syntax{named} is not one of DICOM's")
    damaged = UnreadableImage(f"truncated, damaged or unsupported pixel data ({uid.name})")
    if not isinstance(pixel_data, bytes):
        raise damaged
    shifted = 0
    description = _describe(picture, syntax)
    if uid.is_compressed:
        _check_compressed(pixel_data, picture, uid, limits)
    else:
        _check_native(len(pixel_data), picture)
    if (not uid.is_compressed or uid == RLELossless) and picture.high_bit != picture.stored - 1:
        # pydicom reads the lowest bits, whatever HighBit says: it is given all up to HighBit, and the low ones go.
        shifted = picture.high_bit + 1 - picture.stored
        description.BitsStored = picture.high_bit + 1
        description.HighBit = picture.high_bit
    description["PixelData"] = pydicom.DataElement(
        "PixelData", "OB" if uid.is_compressed or picture.allocated <= 8 else "OW", pixel_data
    )
    description["PixelData"].is_undefined_length = uid.is_compressed
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if isinstance(table := value_of(dataset, keyword), bytes) and uid.is_compressed:
            setattr(description, keyword, table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            stored = dicom_pixels.pixel_array(description)
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException as error:  # each decoder has its own; the one in Rust panics beside Exception
            raise damaged from error
    shape = (picture.rows, picture.columns, 3)[: 2 if picture.samples == 1 else 3]
    if stored.shape != shape or stored.dtype.itemsize > 2:
        raise damaged
    stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    return stored >> shifted if shifted else stored


def _check_native(size: int, picture: _Picture) -> None:
    needed = -(-picture.rows * picture.columns * picture.bits_per_pixel // 8)
    if size < needed:
        raise UnreadableImage("truncated pixel data: fewer than its Rows and Columns need")
    if size >= 2 * needed:
        raise UnreadableImage("pixel data of several frames, not one radiograph")


def _check_compressed(pixel_data: bytes, picture: _Picture, uid: UID, limits: Limits) -> None:
    """Check what the compressed frame says of its own size, which need not be what the header says.

    Raises:
        UnreadableImage: it is beyond the limits, or too short for the image.
    """
    damaged = UnreadableImage(f"truncated, damaged or unsupported pixel data ({uid.name})")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            frame = encaps.get_frame(pixel_data, 0, number_of_frames=1)
        except Exception as error:
            raise damaged from error
    if uid == RLELossless:
        if picture.rows * picture.columns * picture.bits_per_pixel > 8 * PACKBITS_RATIO * len(frame):
            raise too_little("DICOM")
    elif frame.startswith(jpeg_header.MAGIC):
        jpeg_header.inspect(frame, limits, in_dicom=True)
        lossless = uid in (JPEGLossless, JPEGLosslessSV1)
        if picture.allocated == 8 and images.is_damaged_jpeg(frame + _END_OF_IMAGE, lossless=lossless):
            raise damaged
    elif uid in JPEG2000TransferSyntaxes or uid in _HIGH_THROUGHPUT:
        if _J2K_START not in frame:
            raise damaged
        _check_codestream(frame[frame.index(_J2K_START) :], limits)


def _check_codestream(codestream: bytes, limits: Limits) -> None:
    """Check the SIZ segment of a JPEG 2000 codestream (ITU-T T.800 A.5.1)."""
    width, height, left, top, tile_width, tile_height = (
        int.from_bytes(codestream[at : at + 4], "big") for at in range(8, 32, 4)
    )
    check_size(width - left, height - top, limits, "JPEG 2000")
    check_size(width, height, limits, "JPEG 2000")
    if not tile_width or not tile_height or -(-width // tile_width) * -(-height // tile_height) > _MAX_TILES:
        raise UnreadableImage("truncated, damaged or unsupported pixel data (JPEG 2000)")


def _apply_palette(stored: np.ndarray, dataset: pydicom.Dataset) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return dicom_pixels.apply_color_lut(stored, dataset)[..., :3]
        except MemoryError:
            raise
        except Exception as error:
            raise UnreadableImage("a damaged palette: its colors cannot be read") from error


def _find_padding(stored: np.ndarray, dataset: pydicom.Dataset, pixel_data: bytes, picture: _Picture) -> np.ndarray:
    """Return where the padding around the image is, bool [H, W].

    The values of padding come as signed or unsigned numbers, which need not be what the pixels are: they are compared
    as the bits that both are.
    """
    first = integer_of(dataset, "PixelPaddingValue")
    if first is None:
        return np.zeros(stored.shape, bool)
    last = integer_of(dataset, "PixelPaddingRangeLimit")
    first = _reinterpret(first, picture)
    last = first if last is None else _reinterpret(last, picture)
    low = min(first, last)
    high = max(first, last)
    if low == high and picture.stored < picture.allocated == 16 and not _is_storable(low, picture):
        # A value outside the stored bits marks pixels whose other bits are set too; pydicom has cleared these.
        words = np.frombuffer(pixel_data, "<u2")
        if words.size == stored.size and np.array_equal(words.reshape(stored.shape) & 0xFF, stored & 0xFF):
            return words.reshape(stored.shape) == low % 2**16
    return (stored >= low) & (stored <= high)


def _reinterpret(value: int, picture: _Picture) -> int:
    if -(2 ** (picture.allocated - 1)) <= value < 2**picture.allocated:
        value %= 2**picture.allocated
        if picture.signed and value >= 2 ** (picture.allocated - 1):
            value -= 2**picture.allocated
    return value


def _is_storable(value: int, picture: _Picture) -> bool:
    if picture.signed:
        return -(2 ** (picture.stored - 1)) <= value < 2 ** (picture.stored - 1)
    return 0 <= value < 2**picture.stored


def _note_shape(dataset: pydicom.Dataset, picture: _Picture, notes: list[str]) -> None:
    """Note a PresentationLUTShape that contradicts the PhotometricInterpretation (PS3.3 C.11.6)."""
    shape = text_of(dataset, "PresentationLUTShape").upper()
    if (picture.photometric, shape) in (("MONOCHROME2", "INVERSE"), ("MONOCHROME1", "IDENTITY")):
        notes.append(f"its PresentationLUTShape {shape} contradicts {picture.photometric}, which is what was read")


def _read_spacing(dataset: pydicom.Dataset) -> tuple[float, float] | None:
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        values = numbers_of(dataset, keyword)
        if len(values) == 2 and all(value is not None and _LEAST_MM <= value <= _MOST_MM for value in values):
            return values[0], values[1]
    return None


def _turn_upright(
    pixels: np.ndarray, spacing: tuple[float, float] | None, dataset: pydicom.Dataset, notes: list[str]
) -> tuple[np.ndarray, tuple[float, float] | None]:
    """Undo what PatientOrientation says, so that the patient's left is at the right and the feet are at the bottom."""
    said = [text[:1].upper() for text in texts_of(dataset, "PatientOrientation")]
    if len(said) != 2:
        return pixels, spacing
    across, down = said
    if across in _FEET_HEAD and down in _LEFT_RIGHT:
        pixels = pixels.T
        spacing = spacing and spacing[::-1]
        across, down = down, across
    if across not in _LEFT_RIGHT or down not in _FEET_HEAD:
        return pixels, spacing
    if across == "R":
        pixels = pixels[:, ::-1]
    if down == "H":
        pixels = pixels[::-1]
    if said != ["L", "F"]:
        notes.append(f"turned or mirrored back, for its PatientOrientation is {said[0]}, {said[1]}")
    return np.ascontiguousarray(pixels), spacing
