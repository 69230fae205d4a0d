"""What can be told of a label without the picture: naive Bayes on a radiograph's source, view, size and file form."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrjax.io.file_form import name_kind, read_form

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


def metadata_features(example: Mapping[str, Any]) -> dict[str, str]:
    """The facts of a stored radiograph (see `tfds_store.iter_records`), all of them words; and whose it is."""
    return {
        **{key: example[key] for key in CASE},
        "view": example["view"],
        "height": _length(example["height"]),
        "width": _length(example["width"]),
        **_form(example),
    }


def naive_bayes(
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


def _form(example: Mapping[str, Any]) -> dict[str, str]:
    """Return kind, bits per value and colors of the file that a radiograph came in."""
    if "format" in example:
        return {"kind": example["format"].upper(), "bits": str(example["bits"]), "colour": example["color"]}
    kind = name_kind(example["image"])  # version 1 of the data sets holds the file itself
    form = read_form(example["image"], kind)
    return {"kind": kind.upper(), "bits": str(form.bits or ""), "colour": form.color}
