"""Files of a prediction, as bytes, which threads may encode. `Prediction.save` writes them."""

import io
import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from cxrjax import dicom, plotting
from cxrjax.inference import rows
from cxrjax.io import dicom_elements
from cxrjax.runtime import terminal
from cxrjax.runtime.formatting import capitalize_first, format_label, shorten_middle

if TYPE_CHECKING:
    from cxrjax.inference.prediction import Prediction


class FileEncoder:
    """Encodes any file of a prediction; the DICOM objects are made together, for the first of them."""

    def __init__(self, prediction: "Prediction", source: Path, *, deidentify: bool = False):
        """Initialize.

        Args:
            prediction: the prediction.
            source: the file of its radiograph.
            deidentify: see `cxrjax.dicom.build_results`.
        """
        self._prediction = prediction
        self._source = source
        self._deidentify = deidentify

    def encode(self, name: str) -> bytes | None:
        """Encode a file.

        Args:
            name: of `saved_files.SUFFIXES`.

        Returns:
            The content; None if there is none: see `encode`, and no DICOM object of a radiograph that is not a DICOM
            file, or without a label map no Segmentation.

        Raises:
            DicomResultError: see `cxrjax.dicom.build_results`.
        """
        return self._dicom_objects.get(name) if name in _DICOM_FILES.values() else encode(self._prediction, name)

    @cached_property
    def _dicom_objects(self) -> dict[str, bytes]:
        if not dicom_elements.is_dicom(self._source):
            return {}
        results = dicom.build_results(self._prediction, self._source, deidentify=self._deidentify)
        return {_DICOM_FILES[result.Modality]: dicom.encode(result) for result in results}


def encode(prediction: "Prediction", name: str) -> bytes | None:
    """Encode a file of a prediction.

    Args:
        prediction: the prediction.
        name: of `saved_files.SUFFIXES`, but of no DICOM object.

    Returns:
        The content; None if there is none: a run that trained a segmenter predicts no map and no embedding, a run
        without a segmenter no mask, and without lungs there is neither map nor embedding.
    """
    return _ENCODERS[name](prediction)


def encode_label_map(labels: NDArray[np.uint8]) -> bytes:
    """Encode a label map uint8 [H, W] as an 8-bit PNG of the same values."""
    return cv2.imencode(".png", labels)[1].tobytes()


def encode_map(saliency: NDArray[np.float32]) -> bytes:
    """Encode a saliency map float32 [H, W] in 0..1 as a 16-bit PNG, in which 65535 is 1."""
    levels = np.rint(saliency * np.float32(65535)).astype(np.uint16)
    return cv2.imencode(".png", levels)[1].tobytes()


def encode_array(array: np.ndarray) -> bytes:
    """Encode an array as .npy."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def encode_json(values: dict) -> bytes:
    """Encode a dictionary as indented JSON."""
    return (json.dumps(values, indent=2, allow_nan=False) + "\n").encode()


def _encode_figure(prediction: "Prediction") -> bytes:
    name = terminal.escape(Path(prediction.path).name)
    title = [capitalize_first(rows.describe(prediction.to_row()))]
    title += [f"file {shorten_middle(name)}"] if name else []
    if prediction.ood_reason:
        title.append(f"out of distribution: {prediction.ood_reason}")
    title += [prediction.threshold_note] if prediction.thresholds else []
    if prediction.notice:
        title.append(prediction.notice)
    label = prediction.saliency_label
    return plotting.encode_figure(
        prediction.image,
        prediction.lung_mask,
        prediction.saliency,
        prediction.frame,
        title_lines=title,
        probabilities=list(prediction.probabilities.values()) or None,
        votes=list(prediction.votes.values()) or None,
        classes=tuple(prediction.votes),
        num_patches=prediction.num_patches,
        thresholds=list(prediction.thresholds.values()),
        map_heading="no saliency map" if label is None else f"saliency map of {format_label(label)}",
    )


def _encode_mask(prediction: "Prediction") -> bytes | None:
    return None if prediction.label_map is None else encode_label_map(prediction.to_native(prediction.label_map))


def _native_saliency(prediction: "Prediction") -> NDArray[np.float32] | None:
    if prediction.saliency is None or prediction.saliency_label is None:
        return None
    return prediction.to_native(prediction.saliency)


def _encode_map_png(prediction: "Prediction") -> bytes | None:
    saliency = _native_saliency(prediction)
    return None if saliency is None else encode_map(saliency)


def _encode_map_npy(prediction: "Prediction") -> bytes | None:
    saliency = _native_saliency(prediction)
    return None if saliency is None else encode_array(saliency)


def _encode_overlay(prediction: "Prediction") -> bytes:
    return plotting.encode_overlay(prediction.image, prediction.lung_mask, prediction.saliency, prediction.frame)


def _encode_json(prediction: "Prediction") -> bytes:
    return encode_json(prediction.to_dict())


def _encode_embedding(prediction: "Prediction") -> bytes | None:
    if prediction.embedding is None:
        return None
    arrays = {"embedding": prediction.embedding}
    if prediction.patch_embeddings is not None:
        arrays |= {
            "patch_embeddings": prediction.patch_embeddings.features,
            "patch_centers": prediction.patch_embeddings.centers,
        }
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


_DICOM_FILES = {"SEG": "dicom_segmentation", "OT": "dicom_overlay", "SR": "dicom_report"}  # by modality

_ENCODERS: dict[str, Callable[["Prediction"], bytes | None]] = {
    "figure": _encode_figure,
    "mask": _encode_mask,
    "map": _encode_map_png,
    "map_npy": _encode_map_npy,
    "overlay": _encode_overlay,
    "json": _encode_json,
    "embedding": _encode_embedding,
}
