"""Baseline that predicts the label from metadata alone: naive Bayes on source, view, image size and file format."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrjax.io.pixel_format import detect_format, read_pixel_format

SMOOTHING = 1.0  # pseudo-count of each value and class (Laplace)
STEPS_PER_OCTAVE = 4  # image sides are binned by a factor of 2^(1/4), about 19%. Ours

# Metadata features that each experiment uses together.
ATTRIBUTES = {
    "source": ("source",),
    "view": ("view",),
    "resolution": ("height", "width"),
    "file_format": ("format", "bits", "color"),
}
# Fields of a record that the rows of predictions.csv have too.
ROW_FIELDS: tuple[str, ...] = ("path", "patient_id", "source", "label")

Features = Mapping[str, str]


def metadata_features(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata features of a record (see `tfds_store.iter_records`) as text, and ROW_FIELDS."""
    return {
        **{field: record[field] for field in ROW_FIELDS},
        "view": record["view"],
        "height": _bin_length(record["height"]),
        "width": _bin_length(record["width"]),
        **_file_format(record),
    }


def naive_bayes(
    train: Sequence[Features],
    labels: NDArray,
    test: Sequence[Features],
    attributes: Sequence[str],
    num_classes: int,
) -> NDArray[np.float64]:
    """Fit naive Bayes with Laplace smoothing on training metadata, and predict.

    Args:
        train: features of n training radiographs.
        labels: int [n], their classes.
        test: features of m radiographs.
        attributes: names of the features to use.
        num_classes: K.

    Returns:
        [m, K], the probability of each class. A value that does not occur in training is ignored.
    """
    support = np.bincount(labels, minlength=num_classes).astype(float)
    log_p = np.tile(np.log(np.maximum(support, np.finfo(float).tiny)), (len(test), 1))
    for attribute in attributes:
        values = sorted({features[attribute] for features in train})
        index = {value: k for k, value in enumerate(values)}
        counts = np.full((len(values), num_classes), SMOOTHING)
        cells = ([index[features[attribute]] for features in train], labels)
        np.add.at(counts, cells, 1)  # pyright: ignore[reportArgumentType] NumPy's stub lacks tuples of indices
        rows = [i for i, features in enumerate(test) if features[attribute] in index]
        value_indices = [index[test[i][attribute]] for i in rows]
        log_p[rows] += np.log(counts / counts.sum(0))[value_indices]
    p = np.exp(log_p - log_p.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def _bin_length(pixels: int) -> str:
    return str(round(STEPS_PER_OCTAVE * math.log2(pixels)))


def _file_format(record: Mapping[str, Any]) -> dict[str, str]:
    """Return format, bits per value and color of the original file of a radiograph; see `pixel_format.PixelFormat`."""
    if "format" in record:
        return {"format": record["format"].upper(), "bits": str(record["bits"]), "color": record["color"]}
    file_format = detect_format(record["image"])  # version 1 of the data sets holds the file itself
    pixel_format = read_pixel_format(record["image"], file_format)
    return {"format": file_format.upper(), "bits": str(pixel_format.bits or ""), "color": pixel_format.color}
