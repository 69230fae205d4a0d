"""Pictures for dummy data: small, made up, each different, the same from the same name."""

import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

SHAPE = (64, 56)  # height and width, pixels


def draw_image(name: str, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """A smooth picture of its name's own: uint8 [height, width]."""
    noise = np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape)
    smooth = cv2.GaussianBlur(noise, (0, 0), min(shape) / 10)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def draw_lung_mask(side: str, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """An upright ellipse where the "left" or "right" lung of a frontal radiograph lies: uint8 [height, width], 0 or 1.

    The patient's right lung is on the left of the picture.
    """
    height, width = shape
    column = width // 4 if side == "right" else width - width // 4
    return cv2.ellipse(np.zeros(shape, np.uint8), (column, height // 2), (width // 6, height // 3), 0, 0, 360, 1, -1)


def save_image(path: Path, pixels: np.ndarray | None = None) -> None:
    """Writes a picture in the format of its name, making its folder; `draw` of the name if none is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = draw_image(path.name) if pixels is None else pixels
    path.write_bytes(cv2.imencode(path.suffix.lower(), pixels)[1].tobytes())


def save_dicom(path: Path, pixels: np.ndarray | None = None, **tags: Any) -> None:
    """Writes an uncompressed 8-bit DICOM radiograph, making its folder; `tags` by keyword as `ViewPosition="PA"`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = draw_image(path.name) if pixels is None else pixels
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[path.name])
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.PhotometricInterpretation = "DX", "MONOCHROME2"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = *pixels.shape, 1
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
