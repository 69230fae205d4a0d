"""Synthetic image files for tests: small, each different, and the same for the same name."""

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
    """Draw a smooth random image, seeded by its name: uint8 [height, width]."""
    noise = np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape)
    smooth = cv2.GaussianBlur(noise, (0, 0), min(shape) / 10)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def draw_lung_mask(side: str, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Draw an upright ellipse for the "left" or "right" lung of a frontal radiograph: uint8 [height, width], 0 or 1.

    The patient's right lung is on the left of the image.
    """
    height, width = shape
    column = width // 4 if side == "right" else width - width // 4
    return cv2.ellipse(np.zeros(shape, np.uint8), (column, height // 2), (width // 6, height // 3), 0, 0, 360, 1, -1)


def save_image(path: Path, pixels: np.ndarray | None = None) -> None:
    """Write an image in the format of its suffix and create its folder; the default is `draw_image` of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = draw_image(path.name) if pixels is None else pixels
    path.write_bytes(cv2.imencode(path.suffix.lower(), pixels)[1].tobytes())


def save_dicom(path: Path, pixels: np.ndarray | None = None, **tags: Any) -> None:
    """Write an uncompressed 8-bit DICOM radiograph and create its folder; `tags` by keyword: `ViewPosition="PA"`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = draw_image(path.name) if pixels is None else pixels
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[path.name])
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.Modality = "DX"
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = pixels.shape[0]
    dataset.Columns = pixels.shape[1]
    dataset.SamplesPerPixel = 1
    dataset.BitsAllocated = 8
    dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
