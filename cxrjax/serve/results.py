"""Predictions in memory, their JSON, and their images as PNG."""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from cxrjax import plotting
from cxrjax.inference import prediction_files
from cxrjax.inference.prediction import Prediction
from cxrjax.ops import lung_masks

MAX_SIDE = 1024  # pixels of a radiograph on the page
MAX_MAP_SIDE = 512  # pixels of a saliency map on the page, which is smooth
_ARRAYS = ("image", "lung_mask", "label_map", "saliency", "embedding")
_NAMES = {label: name.replace(" ", "_") for label, name in enumerate(lung_masks.STRUCTURES) if label}


class Result(NamedTuple):
    """A prediction, and its values that JSON can encode."""

    prediction: Prediction
    values: dict[str, Any]


class ResultStore:
    """The most recent predictions by an id that cannot be guessed. Used by the event loop alone."""

    def __init__(self, max_bytes: int):
        """Initialize; the last prediction stays even if its arrays are larger than `max_bytes`."""
        self._max_bytes = max_bytes
        self._results: OrderedDict[str, Result] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._results)

    def add(self, prediction: Prediction, values: dict[str, Any]) -> str:
        """Store a prediction, drop the oldest ones if the arrays are too large together, and return its id."""
        result_id = secrets.token_urlsafe(16)
        self._results[result_id] = Result(prediction, values)
        self._bytes += count_bytes(prediction)
        while self._bytes > self._max_bytes and len(self._results) > 1:
            self.remove(next(iter(self._results)))
        return result_id

    def find(self, result_id: str) -> Result | None:
        """Return a prediction, which counts as used; None if it was dropped or never existed."""
        if result_id in self._results:
            self._results.move_to_end(result_id)
        return self._results.get(result_id)

    def remove(self, result_id: str) -> bool:
        """Forget a prediction; False if there is none of this id."""
        result = self._results.pop(result_id, None)
        if result is not None:
            self._bytes -= count_bytes(result.prediction)
        return result is not None


def count_bytes(prediction: Prediction) -> int:
    """Return the bytes of the arrays of a prediction."""
    arrays = [getattr(prediction, name) for name in _ARRAYS] + list(prediction.class_maps.values())
    return sum(array.nbytes for array in arrays if array is not None)


def to_json(prediction: Prediction) -> dict[str, Any]:
    """Return a prediction as values that JSON can encode."""
    values = prediction.to_dict()
    del values["path"]  # an upload has none
    return values | {
        "has_lungs": prediction.has_lungs,
        "structures": _measure_structures(prediction),
        "outlines": _draw_outlines(prediction),
    }


def list_images(prediction: Prediction) -> list[str]:
    """Return the keys of `IMAGES` for which a prediction has an image."""
    missing = ["mask.png"] if prediction.label_map is None else []
    missing += ["map.png", "layer.png"] if prediction.saliency_label is None else []
    return [name for name in IMAGES if name not in missing]


def encode_image(prediction: Prediction, name: str, label: str | None) -> bytes | None:
    """Encode an image of a prediction as PNG.

    Args:
        prediction: the prediction.
        name: key of `IMAGES`.
        label: the class that the saliency map shows; None for the predicted one.

    Returns:
        The PNG; None if the prediction has no such image.

    Raises:
        KeyError: there is no saliency map of this class.
    """
    if label is not None and label != prediction.saliency_label:
        prediction = replace(prediction, saliency=prediction.class_maps[label], saliency_label=label)
    return IMAGES[name](prediction)


def _measure_structures(prediction: Prediction) -> dict[str, dict[str, float | None]]:
    """Return the area of lungs and heart by name: pixels of the file, and mm² (None if the spacing is not known)."""
    if prediction.label_map is None:
        return {}
    counts = np.bincount(prediction.to_native(prediction.label_map).ravel(), minlength=len(lung_masks.STRUCTURES))
    pixel_area = None if prediction.spacing is None else prediction.spacing[0] * prediction.spacing[1]
    return {
        name: {
            "pixels": int(counts[label]),
            "mm2": None if pixel_area is None else round(float(counts[label] * pixel_area), 1),
        }
        for label, name in _NAMES.items()
    }


def _draw_outlines(prediction: Prediction) -> dict[str, str]:
    """Return the outlines of lungs and heart by name, as SVG paths in pixels of the file."""
    if prediction.label_map is None:
        return {}
    return {
        name: plotting.outline_path(prediction.label_map == label, prediction.frame) for label, name in _NAMES.items()
    }


def _encode_radiograph(prediction: Prediction) -> bytes:
    return plotting.encode_radiograph(prediction.image, prediction.frame, MAX_SIDE)


def _encode_layer(prediction: Prediction) -> bytes | None:
    if prediction.saliency is None or prediction.saliency_label is None:
        return None
    return plotting.encode_map_layer(prediction.saliency, prediction.frame, MAX_MAP_SIDE)


IMAGES: dict[str, Callable[[Prediction], bytes | None]] = {
    "radiograph.png": _encode_radiograph,
    "layer.png": _encode_layer,
    "map.png": lambda prediction: prediction_files.encode(prediction, "map"),
    "mask.png": lambda prediction: prediction_files.encode(prediction, "mask"),
    "overlay.png": lambda prediction: prediction_files.encode(prediction, "overlay"),
}
