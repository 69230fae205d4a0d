"""The one form in which every prepared data set stores a radiograph."""

from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import tensorflow_datasets as tfds

LABELS = ("normal", "bacterial", "tuberculosis", "viral", "covid19")  # the shared vocabulary; others stay as they are
STRUCTURES, LUNGS = "structures", "lungs"  # what a mask's values mean, see `Example.mask_kind`
UNKNOWN = float("nan")


@dataclass(frozen=True)
class Example:
    """One radiograph and what is known about it; "", b"", 0 bits and NaN stand for not known.

    Of a file, only its pixels and the attributes below are stored, never its header: no name, identifier, date or
    address that DICOM, EXIF, XMP, IPTC, TIFF or PNG can hold.

    Attributes:
        id: unique in its data set.
        path: of the file, as upstream writes it.
        image: the decoded gray levels as PNG of 8 or 16 bits; of a JPEG file its compressed data alone.
        height: of the decoded image, pixels.
        width: of the decoded image, pixels.
        label: of `LABELS` where it fits, else upstream's word.
        upstream_label: upstream's word for it.
        patient_id: no patient is in two splits; of a DICOM file a pseudonym, see `collections/patients.py`.
        source: the collection it comes from.
        view: "PA", "AP", "AP Supine", ... as upstream writes it.
        sex: as upstream writes it.
        age: years.
        spacing: (row, column) mm between pixel centres.
        mask: PNG of a uint8 label map [height, width].
        mask_kind: "structures" (0 background, 1 heart, 2 left lung, 3 right lung), "lungs" (0, 1), or "".
        lesions: PNG of a uint8 map [height, width], 1 in known lesions.
        licence: of this image.
        format: what the file was: "png", "jpeg", "tiff", "dicom" or "jsrt".
        bits: of a value in the file.
        color: channels of the file, or DICOM's PhotometricInterpretation.
        inverted: dense anatomy is dark in `image`, as in MONOCHROME1 and JSRT .IMG.
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
    licence: str = ""
    format: str = "png"
    bits: int = 8
    color: str = "1"
    inverted: bool = False

    def record(self) -> dict[str, Any]:
        """What TFDS stores, in the form of `features()`."""
        return asdict(self) | {"spacing": np.asarray(self.spacing, np.float32)}


def features() -> tfds.features.FeaturesDict:
    """The TFDS features of an `Example`; text comes back as UTF-8 bytes."""
    text, data = tfds.features.Text, tfds.features.Tensor(shape=(), dtype=np.object_)
    number = tfds.features.Scalar
    return tfds.features.FeaturesDict(
        {name: text() for name in ("id", "path", "label", "upstream_label", "patient_id", "source", "view", "sex")}
        | {"mask_kind": text(), "licence": text(), "image": data, "mask": data, "lesions": data}
        | {"format": text(), "color": text(), "bits": number(np.int32), "inverted": number(np.bool_)}
        | {"height": number(np.int32), "width": number(np.int32), "age": number(np.float32)}
        | {"spacing": tfds.features.Tensor(shape=(2,), dtype=np.float32)}
    )


def encode_png(picture: np.ndarray) -> bytes:
    """The PNG file of a uint8 or uint16 [height, width] picture."""
    return cv2.imencode(".png", picture)[1].tobytes()
