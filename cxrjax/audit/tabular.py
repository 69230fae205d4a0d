"""What can be told of a label without the picture: naive Bayes on a radiograph's source, view, size and file form."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrjax.io import dicom_header, images, limits
from cxrjax.io.errors import UnreadableImage

SMOOTHING = 1.0  # radiographs of each class added to every value (Laplace)
STEPS = 4  # lengths within a fourth root of 2 of each other are alike: about 19%. Ours

# What is asked together, and of which facts.
ATTRIBUTES = {
    "source": ("source",),
    "view": ("view",),
    "resolution": ("height", "width"),
    "file_form": ("kind", "bits", "colour"),
}
CASE = ("path", "patient_id", "source", "label")

Facts = Mapping[str, str]


def tell(example: Mapping[str, Any]) -> dict[str, str]:
    """The facts of a stored radiograph (see `data.stream`), all of them words; and whose it is."""
    return {
        **{key: example[key] for key in CASE},
        "view": example["view"],
        "height": _length(example["height"]),
        "width": _length(example["width"]),
        **_form(example["image"]),
    }


def fit_and_guess(
    seen: Sequence[Facts], labels: NDArray, asked: Sequence[Facts], attributes: Sequence[str], classes: int
) -> NDArray[np.float64]:
    """Naive Bayes with Laplace smoothing, learned from facts of training.

    Args:
        seen: facts of n radiographs.
        labels: int [n], their classes.
        asked: facts of m others.
        attributes: which facts count.
        classes: K.

    Returns:
        [m, K], the probability of each class; a value that no training radiograph has tells nothing.
    """
    support = np.bincount(labels, minlength=classes).astype(float)
    log = np.tile(np.log(np.maximum(support, np.finfo(float).tiny)), (len(asked), 1))
    for attribute in attributes:
        values = sorted({facts[attribute] for facts in seen})
        position = {value: k for k, value in enumerate(values)}
        counts = np.full((len(values), classes), SMOOTHING)
        np.add.at(counts, ([position[facts[attribute]] for facts in seen], labels), 1)
        known = [k for k, facts in enumerate(asked) if facts[attribute] in position]
        of = [position[asked[k][attribute]] for k in known]
        log[known] += np.log(counts / counts.sum(0))[of]
    shares = np.exp(log - log.max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)


def _length(pixels: int) -> str:
    return str(round(STEPS * math.log2(pixels)))


def _form(file: bytes) -> dict[str, str]:
    """Kind, bits a pixel and colours of a file, without decoding more than its kind asks for."""
    kind = "DICOM" if dicom_header.is_dicom(file) else images.name_kind(file)
    unknown = {"kind": kind, "bits": "", "colour": ""}
    if not kind:
        return unknown
    try:
        if kind == "DICOM":
            header, _ = dicom_header.read_dataset(file, ("BitsStored", "PhotometricInterpretation"), limits.current())
            bits = dicom_header.text_of(header, "BitsStored")
            return {"kind": kind, "bits": bits, "colour": dicom_header.text_of(header, "PhotometricInterpretation")}
        pixels = images.decode_values(file, limits.current())
    except UnreadableImage:
        return unknown
    return {"kind": kind, "bits": str(8 * pixels.itemsize), "colour": str(1 if pixels.ndim == 2 else pixels.shape[2])}
