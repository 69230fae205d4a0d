"""The format in which every prepared data set stores a radiograph."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import cv2
import numpy as np
import tensorflow_datasets as tfds

from cxrjax.io import findings

# What the values of a mask mean, see `Example.mask_kind`.
STRUCTURES = "structures"
LUNGS = "lungs"
LUNGS_WITH_HEART = "lungs_with_heart"
MASK_KINDS = (STRUCTURES, LUNGS, LUNGS_WITH_HEART)
UNKNOWN = float("nan")


@dataclass(frozen=True)
class Example:
    """One radiograph and its metadata; "", b"", 0 bits and NaN stand for unknown.

    Only the pixels of a file and the attributes below are stored, never its header: no name, identifier, date or
    address that DICOM, EXIF, XMP, IPTC, TIFF or PNG can hold.

    Attributes:
        id: unique in its data set.
        path: of the file, as upstream writes it.
        image: the decoded gray levels as PNG of 8 or 16 bits; for a JPEG file its compressed data without the header.
        height: of the decoded image, pixels.
        width: of the decoded image, pixels.
        label: one of `LABELS` if it matches, otherwise upstream's label.
        upstream_label: the label as upstream writes it.
        patient_id: no patient is in two splits; for a DICOM file a pseudonym, see `collections/patients.py`.
        source: name of its collection.
        view: "PA", "AP", "AP Supine", ... as upstream writes it.
        sex: as upstream writes it.
        age: years.
        spacing: (row, column) mm between pixel centers.
        mask: PNG of a uint8 label map [height, width].
        mask_kind: "structures" (0 background, 1 heart, 2 left lung, 3 right lung), "lungs" (0, 1, without the heart),
            "lungs_with_heart" (0, 1, with the part of the lungs behind the heart), or "".
        lesions: PNG of a uint8 map [height, width], 1 in known lesions.
        license: license of this image.
        format: of the file: "png", "jpeg", "tiff", "dicom" or "jsrt".
        bits: per value of the file.
        color: channels of the file, or DICOM's PhotometricInterpretation.
        findings: of a data set with several findings per radiograph: name -> 1 positive, 0 negative, 0 to 1 for soft
            labels, -1 uncertain; a finding that is absent is unknown (`cxrjax.io.findings`).
        inverted: whether dense anatomy is dark in `image`, as in MONOCHROME1 and JSRT .IMG.
    """

    id: str
    path: str
    image: bytes
    height: int
    width: int
    label: str = ""
    upstream_label: str = ""
    patient_id: str = ""
    source: str = ""
    view: str = ""
    sex: str = ""
    age: float = UNKNOWN
    spacing: tuple[float, float] = (UNKNOWN, UNKNOWN)
    mask: bytes = b""
    mask_kind: str = ""
    lesions: bytes = b""
    license: str = ""
    format: str = "png"
    bits: int = 8
    color: str = "1"
    inverted: bool = False
    findings: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the values that TFDS stores, as `features` describes them; `findings` is JSON text."""
        return asdict(self) | {
            "spacing": np.asarray(self.spacing, np.float32),
            "findings": findings.encode(self.findings),
        }


def features(has_findings: bool = False) -> tfds.features.FeaturesDict:
    """Return the TFDS features of an `Example`; text is read back as UTF-8 bytes.

    Args:
        has_findings: whether the data set has several findings per radiograph, the field `findings`.
    """
    text = tfds.features.Text
    data = tfds.features.Tensor(shape=(), dtype=np.object_)
    number = tfds.features.Scalar
    return tfds.features.FeaturesDict(
        {name: text() for name in ("id", "path", "label", "upstream_label", "patient_id", "source", "view", "sex")}
        | {"mask_kind": text(), "license": text(), "image": data, "mask": data, "lesions": data}
        | {"format": text(), "color": text(), "bits": number(np.int32), "inverted": number(np.bool_)}
        | {"height": number(np.int32), "width": number(np.int32), "age": number(np.float32)}
        | {"spacing": tfds.features.Tensor(shape=(2,), dtype=np.float32)}
        | ({"findings": text()} if has_findings else {})
    )


def encode_png(pixels: np.ndarray) -> bytes:
    """Encode an image, uint8 or uint16 [height, width] or [height, width, 3], as PNG."""
    return cv2.imencode(".png", pixels)[1].tobytes()
