"""Read the file and the masks of a radiograph into an `Example`."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from cxrjax.io import jpeg_segments, limits, radiograph, reader
from cxrjax.io.errors import ImageDecodeError, ImageReadError
from cxrjax.io.pixel_format import read_pixel_format
from cxrjax.io.radiograph import Radiograph
from data_prep.example import LUNGS, STRUCTURES, Example, encode_png
from data_prep.record import HEART, LABEL_MAP, LEFT_LUNG, RIGHT_LUNG, Record, RecordError

_ASPECT_TOLERANCE = 0.02  # a mask is resized to its image if their aspect ratios differ by less
_STRUCTURE_VALUES = {HEART: 1, LEFT_LUNG: 2, RIGHT_LUNG: 3}  # in a label map of structures


def read_example(record: Record) -> Example:
    """Read one radiograph: the pixels of its file without the header, see `Example`, and its mask.

    Raises:
        RecordError: it has no file, or the file is missing, unreadable, or does not fit its mask.
    """
    if record.file is None:
        raise RecordError("no such file")
    try:
        data = reader.read_bytes(record.file, limits.current())
        image = radiograph.decode(data, record.id)
    except (ImageDecodeError, radiograph.ImageReadError) as error:
        raise RecordError(error.reason) from error
    height, width = image.pixels.shape
    mask = b""
    mask_kind = ""
    if record.masks:
        label_map, mask_kind = read_masks(record.masks, record.mask_kind, (height, width))
        mask = encode_png(label_map)
    pixel_format = read_pixel_format(data, image.format)
    return Example(
        id=record.id,
        path=record.id,
        image=encode_image(data, image),
        height=height,
        width=width,
        label=record.label,
        upstream_label=record.upstream_label,
        patient_id=record.patient_id,
        source=record.source,
        view=record.view or image.view,
        sex=record.sex,
        age=record.age,
        spacing=image.spacing or record.spacing,
        mask=mask,
        mask_kind=mask_kind,
        license=record.license,
        format=image.format,
        bits=pixel_format.bits,
        color=pixel_format.color,
        inverted=image.inverted,
        findings=record.findings,
    )


def encode_image(data: bytes, image: Radiograph) -> bytes:
    """Return the pixels of a file without its header, as a file that decodes to the same pixels.

    Args:
        data: content of the file.
        image: the decoded file.

    Returns:
        The compressed data of a JPEG file if it decodes to the same pixels without its header (it does not if EXIF
        rotates the image); otherwise PNG.
    """
    if image.format == "jpeg":
        try:
            stripped = jpeg_segments.strip(data)
            if np.array_equal(radiograph.decode(stripped, image.path).pixels, image.pixels):
                return stripped
        except (jpeg_segments.JpegStructureError, radiograph.ImageReadError):
            pass  # decoders accept more than the standard allows
    return encode_png(image.pixels)


def read_masks(files: Mapping[str, Path], kind: str, shape: tuple[int, int]) -> tuple[np.ndarray, str]:
    """Read the mask of one radiograph, which may be spread over several files.

    Args:
        files: by what each shows: LABEL_MAP alone; HEART, LEFT_LUNG and RIGHT_LUNG; or lungs in one or two files,
            which are united.
        kind: of a LABEL_MAP, see `read_label_map`.
        shape: (height, width) of the radiograph.

    Returns:
        uint8 [height, width] label map and its kind.

    Raises:
        RecordError: see `read_label_map`.
    """
    if set(files) == {LABEL_MAP}:
        return read_label_map(files[LABEL_MAP], kind, shape)
    regions = {name: read_label_map(path, LUNGS, shape)[0] for name, path in files.items()}
    if regions.keys() >= _STRUCTURE_VALUES.keys():
        label_map = np.zeros(shape, np.uint8)
        for name, value in _STRUCTURE_VALUES.items():  # the heart first, so that pixels shared with a lung are lung
            label_map[regions[name] > 0] = value
        return label_map, STRUCTURES
    lungs = [region for name, region in regions.items() if name != HEART]
    return np.maximum.reduce(lungs), LUNGS


def read_label_map(path: Path, kind: str, shape: tuple[int, int]) -> tuple[np.ndarray, str]:
    """Read one mask file.

    Args:
        path: image file.
        kind: one of `example.MASK_KINDS`; "" to infer it from the values: structures where three or more of 0, 1, 2,
            3 occur, lungs otherwise.
        shape: (height, width) of the radiograph.

    Returns:
        uint8 [height, width] label map and its kind. Values above an eighth of the mask's maximum are lung: all
        nonzero values of a clean map, without the ringing of a JPEG.

    Raises:
        RecordError: the file is missing, unreadable, has another aspect ratio than the image, or holds values that
            are not structures.
    """
    try:
        values = reader.shared().read_values(path)
    except ImageReadError as error:
        raise RecordError(f"its mask {path.name}: {error.reason}") from error
    if values.dtype.kind not in "bu":
        raise RecordError(f"its mask {path.name} holds {values.dtype} values, where whole numbers from 0 are needed")
    if values.ndim == 3:
        values = values[..., :3].max(-1)
    distinct = np.unique(values)
    maximum = distinct.max()
    if not kind:
        kind = STRUCTURES if maximum <= 3 and len(distinct) > 2 else LUNGS
    if kind == STRUCTURES and maximum > 3:
        raise RecordError(f"its mask {path.name} holds the value {maximum}, where structures are 0 to 3")
    if kind != STRUCTURES:
        values = values > maximum // 8
    return _resize_mask(values.astype(np.uint8), shape, path.name), kind


def _resize_mask(mask: np.ndarray, shape: tuple[int, int], name: str) -> np.ndarray:
    if mask.shape == shape:
        return mask
    height, width = shape
    aspect_ratio = (mask.shape[1] / mask.shape[0]) / (width / height)
    if not 1 - _ASPECT_TOLERANCE < aspect_ratio < 1 + _ASPECT_TOLERANCE:
        sizes = f"{mask.shape[1]} x {mask.shape[0]} pixels, the image {width} x {height}"
        raise RecordError(f"its mask {name} has another shape: {sizes}")
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
