"""Decoding of DICOM files (PS3.3, PS3.5): check the header, decode the stored values, apply the display tables.

An invalid value that the image does not need never causes a refusal: it is repaired or ignored, with a note.
"""

import re
import warnings
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pydicom
from pydicom import encaps
from pydicom.dataset import FileMetaDataset
from pydicom.pixels import processing, utils
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

from cxrjax.io import dicom_display, dicom_orientation, images, jpeg_header, projection
from cxrjax.io.dicom_header import integer_of, numbers_of, read_dataset, text_of, value_of
from cxrjax.io.errors import ImageDecodeError
from cxrjax.io.header import PACKBITS_RATIO, check_size, insufficient_data
from cxrjax.io.limits import Limits
from cxrjax.io.types import Radiograph

# Only these elements are read from a file, so that no patient data can reach an error, a log or a result.
TAGS = (
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("PixelSpacing", "ImagerPixelSpacing", "PresentationLUTShape", *dicom_display.TAGS, *projection.TAGS),
    *("PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
)
_PALETTE = tuple(
    f"{color}PaletteColorLookupTable{part}" for color in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")
)
_PHOTOMETRICS = {  # photometric interpretation -> samples per pixel
    **dict.fromkeys(("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"), 1),
    **dict.fromkeys(("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT"), 3),
}
_SAMPLES_KNOWN = (1, 3, 4)  # 4: retired interpretations
_MAX_BITS = 16
_MAX_TILES = 65_535  # in a JPEG 2000 codestream
_HIGH_THROUGHPUT = (HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL)
_END_OF_IMAGE = b"\xff\xd9"  # may be missing from a frame
_J2K_START = b"\xff\x4f\xff\x51"
_MAX_SPACING = 10  # mm
_MIN_SPACING = 0.001  # mm


@dataclass(frozen=True)
class _ImagePixelModule:
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
        is_subsampled = self.photometric == "YBR_FULL_422"  # two pixels share their colors
        return self.allocated * (2 if is_subsampled else self.samples)


def decode(data: bytes, name: str, limits: Limits) -> Radiograph:
    """Decode a DICOM file to the gray levels that a viewer shows (modality LUT, then VOI LUT or window, PS3.4 N.2).

    Color is converted to luminance.

    Raises:
        ImageDecodeError: damaged, without pixels, several frames, more than 16 bits, unsupported transfer syntax, or
            beyond the limits.
        MemoryError: decoding takes more memory than available.
    """
    dataset, syntax = read_dataset(data, (*TAGS, *_PALETTE), limits)
    if "PixelData" not in dataset:
        # pydicom returns an empty data set if the file ends inside an element.
        raise ImageDecodeError("a DICOM file without pixel data" if dataset else "truncated DICOM file")
    notes: list[str] = []
    frames = integer_of(dataset, "NumberOfFrames") or 1
    if frames > 1:
        raise ImageDecodeError(f"{frames} frames, not one radiograph")
    module = _read_module(dataset, limits, notes)
    pixel_data = value_of(dataset, "PixelData")
    stored = _decode_values(dataset, pixel_data, module, syntax, limits)
    if module.photometric == "PALETTE COLOR":
        stored = _apply_palette(stored, dataset)
    if stored.ndim == 3:
        pixels = cv2.cvtColor(np.ascontiguousarray(stored), cv2.COLOR_RGB2GRAY)
    else:
        padding = _find_padding(stored, dataset, pixel_data, module)
        description = _describe(module, syntax)
        blank_is_top = module.photometric == "MONOCHROME1"
        pixels = dicom_display.display(stored, padding, dataset, description, blank_is_top=blank_is_top, notes=notes)
    _note_shape(dataset, module, notes)
    spacing = _read_spacing(dataset)
    pixels, spacing = _turn_upright(pixels, spacing, dataset, notes)
    return Radiograph(
        pixels,
        name,
        "dicom",
        inverted=module.photometric == "MONOCHROME1",
        spacing=spacing,
        view=projection.read_view(dataset),
        note="; ".join(notes),
        not_frontal=projection.explain_refusal(dataset),
    )


def explain_refusal(data: bytes, limits: Limits) -> str:
    """Return why a DICOM file is not a frontal chest radiograph according to its header; "" if it may be one.

    Raises:
        ImageDecodeError: see `dicom_header.read_dataset`.
    """
    dataset, _ = read_dataset(data, projection.TAGS, limits)
    return projection.explain_refusal(dataset)


def _read_module(dataset: pydicom.Dataset, limits: Limits, notes: list[str]) -> _ImagePixelModule:
    rows = integer_of(dataset, "Rows")
    columns = integer_of(dataset, "Columns")
    if rows is None or columns is None:
        raise ImageDecodeError("a damaged DICOM header: Rows and Columns are not whole numbers")
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
        raise ImageDecodeError(
            "a damaged DICOM header: PhotometricInterpretation and SamplesPerPixel contradict each other"
        )
    allocated = integer_of(dataset, "BitsAllocated") or 0
    if allocated > _MAX_BITS and allocated % 8 == 0:
        raise ImageDecodeError(f"{allocated} bits per pixel, at most {_MAX_BITS} are supported")
    if allocated not in (1, 8, 16):
        raise ImageDecodeError("a damaged DICOM header: BitsAllocated is not 1, 8 or 16")
    stored = integer_of(dataset, "BitsStored") or 0
    if not 1 <= stored <= allocated:
        stored = allocated
        notes.append(f"its BitsStored is not valid, read as {allocated}")
    high_bit = integer_of(dataset, "HighBit")
    if high_bit is None or not stored - 1 <= high_bit < allocated:
        high_bit = stored - 1
    representation = integer_of(dataset, "PixelRepresentation") or 0
    return _ImagePixelModule(
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


def _describe(module: _ImagePixelModule, syntax: str) -> pydicom.Dataset:
    """Build a data set of the checked values only, for pydicom's decoders and look-up tables."""
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.Rows = module.rows
    dataset.Columns = module.columns
    dataset.SamplesPerPixel = module.samples
    dataset.PhotometricInterpretation = module.photometric
    if module.samples > 1:
        dataset.PlanarConfiguration = module.planar
    dataset.BitsAllocated = module.allocated
    dataset.BitsStored = module.stored
    dataset.HighBit = module.stored - 1
    dataset.PixelRepresentation = int(module.signed)
    return dataset


def _decode_values(
    dataset: pydicom.Dataset, pixel_data: Any, module: _ImagePixelModule, syntax: str, limits: Limits
) -> np.ndarray:
    """Decompress the pixel data to [H, W] or RGB [H, W, 3]."""
    uid = UID(syntax)
    if not syntax or not uid.is_transfer_syntax:
        quoted = f" ({syntax})" if syntax else ""
        raise ImageDecodeError(f"unsupported pixel data: its transfer syntax{quoted} is not one of DICOM's")
    damaged = ImageDecodeError(f"truncated, damaged or unsupported pixel data ({uid.name})")
    if not isinstance(pixel_data, bytes):
        raise damaged
    shift = 0
    description = _describe(module, syntax)
    if uid.is_compressed:
        _check_compressed(pixel_data, module, uid, limits)
    else:
        _check_native(len(pixel_data), module)
    if (not uid.is_compressed or uid == RLELossless) and module.high_bit != module.stored - 1:
        # pydicom ignores HighBit and reads the lowest bits: read all bits up to HighBit, then shift out the low ones.
        shift = module.high_bit + 1 - module.stored
        description.BitsStored = module.high_bit + 1
        description.HighBit = module.high_bit
    description["PixelData"] = pydicom.DataElement(
        "PixelData", "OB" if uid.is_compressed or module.allocated <= 8 else "OW", pixel_data
    )
    description["PixelData"].is_undefined_length = uid.is_compressed
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if isinstance(table := value_of(dataset, keyword), bytes) and uid.is_compressed:
            setattr(description, keyword, table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            stored = utils.pixel_array(description)
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException as error:  # decoder-specific; the decoder in Rust raises no subclass of Exception
            raise damaged from error
    shape = (module.rows, module.columns, 3)[: 2 if module.samples == 1 else 3]
    if stored.shape != shape or stored.dtype.itemsize > 2:
        raise damaged
    stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    return stored >> shift if shift else stored


def _check_native(size: int, module: _ImagePixelModule) -> None:
    needed = -(-module.rows * module.columns * module.bits_per_pixel // 8)
    if size < needed:
        raise ImageDecodeError("truncated pixel data: less than its Rows and Columns need")
    if size >= 2 * needed:
        raise ImageDecodeError("pixel data of several frames, not one radiograph")


def _check_compressed(pixel_data: bytes, module: _ImagePixelModule, uid: UID, limits: Limits) -> None:
    """Check the size in the compressed frame's own header, which may differ from the DICOM header.

    Raises:
        ImageDecodeError: the frame is damaged, beyond the limits, or too short for the image.
    """
    damaged = ImageDecodeError(f"truncated, damaged or unsupported pixel data ({uid.name})")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            frame = encaps.get_frame(pixel_data, 0, number_of_frames=1)
        except Exception as error:
            raise damaged from error
    if uid == RLELossless:
        if module.rows * module.columns * module.bits_per_pixel > 8 * PACKBITS_RATIO * len(frame):
            raise insufficient_data("DICOM")
    elif frame.startswith(jpeg_header.MAGIC):
        jpeg_header.inspect(frame, limits, in_dicom=True)
        lossless = uid in (JPEGLossless, JPEGLosslessSV1)
        if module.allocated == 8 and images.is_damaged_jpeg(frame + _END_OF_IMAGE, lossless=lossless):
            raise damaged
    elif uid in JPEG2000TransferSyntaxes or uid in _HIGH_THROUGHPUT:
        if _J2K_START not in frame:
            raise damaged
        _check_codestream(frame[frame.index(_J2K_START) :], limits)


def _check_codestream(codestream: bytes, limits: Limits) -> None:
    """Check the SIZ segment of a JPEG 2000 codestream (ITU-T T.800 A.5.1)."""
    fields = [int.from_bytes(codestream[at : at + 4], "big") for at in range(8, 32, 4)]
    width, height, left, top, tile_width, tile_height = fields
    check_size(width - left, height - top, limits, "JPEG 2000")
    check_size(width, height, limits, "JPEG 2000")
    if not tile_width or not tile_height or -(-width // tile_width) * -(-height // tile_height) > _MAX_TILES:
        raise ImageDecodeError("truncated, damaged or unsupported pixel data (JPEG 2000)")


def _apply_palette(stored: np.ndarray, dataset: pydicom.Dataset) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return processing.apply_color_lut(stored, dataset)[..., :3]
        except MemoryError:
            raise
        except Exception as error:
            raise ImageDecodeError("a damaged palette: its colors cannot be read") from error


def _find_padding(
    stored: np.ndarray, dataset: pydicom.Dataset, pixel_data: bytes, module: _ImagePixelModule
) -> np.ndarray:
    """Return the mask of the padding around the image, bool [H, W].

    The signedness of the padding values may differ from that of the pixels; their bit patterns are compared.
    """
    first_value = integer_of(dataset, "PixelPaddingValue")
    if first_value is None:
        return np.zeros(stored.shape, bool)
    last_value = integer_of(dataset, "PixelPaddingRangeLimit")
    first_value = _reinterpret(first_value, module)
    last_value = first_value if last_value is None else _reinterpret(last_value, module)
    low = min(first_value, last_value)
    high = max(first_value, last_value)
    if low == high and module.stored < module.allocated == 16 and not _is_storable(low, module):
        # A padding value beyond the stored bits sets unused bits, which pydicom has cleared: compare the raw words.
        words = np.frombuffer(pixel_data, "<u2")
        if words.size == stored.size and np.array_equal(words.reshape(stored.shape) & 0xFF, stored & 0xFF):
            return words.reshape(stored.shape) == low % 2**16
    return (stored >= low) & (stored <= high)


def _reinterpret(value: int, module: _ImagePixelModule) -> int:
    if -(2 ** (module.allocated - 1)) <= value < 2**module.allocated:
        value %= 2**module.allocated
        if module.signed and value >= 2 ** (module.allocated - 1):
            value -= 2**module.allocated
    return value


def _is_storable(value: int, module: _ImagePixelModule) -> bool:
    if module.signed:
        return -(2 ** (module.stored - 1)) <= value < 2 ** (module.stored - 1)
    return 0 <= value < 2**module.stored


def _note_shape(dataset: pydicom.Dataset, module: _ImagePixelModule, notes: list[str]) -> None:
    """Note a PresentationLUTShape that contradicts the PhotometricInterpretation (PS3.3 C.11.6)."""
    shape = text_of(dataset, "PresentationLUTShape").upper()
    if (module.photometric, shape) in (("MONOCHROME2", "INVERSE"), ("MONOCHROME1", "IDENTITY")):
        notes.append(f"its PresentationLUTShape {shape} contradicts {module.photometric}, which was used")


def _read_spacing(dataset: pydicom.Dataset) -> tuple[float, float] | None:
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        values = numbers_of(dataset, keyword)
        spacing = [value for value in values if value is not None and _MIN_SPACING <= value <= _MAX_SPACING]
        if len(values) == len(spacing) == 2:
            return spacing[0], spacing[1]
    return None


def _turn_upright(
    pixels: np.ndarray, spacing: tuple[float, float] | None, dataset: pydicom.Dataset, notes: list[str]
) -> tuple[np.ndarray, tuple[float, float] | None]:
    """Undo PatientOrientation, so that the patient's left is at the right and the feet are at the bottom."""
    orientation = dicom_orientation.read_orientation(dataset)
    turn = dicom_orientation.find_turn(orientation)
    if orientation is not None and any(turn):
        notes.append(f"turned or mirrored, since its PatientOrientation is {orientation[0]}, {orientation[1]}")
    if spacing is not None and turn.transposed:
        spacing = (spacing[1], spacing[0])
    return turn.apply(pixels), spacing
