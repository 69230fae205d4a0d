"""The prediction for one radiograph as numbers, text and NumPy arrays."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
from jaxtyping import Bool, Float32, Float64, Shaped, UInt8

from cxrjax import dicom
from cxrjax.inference import lung_geometry, pipeline, prediction_files
from cxrjax.inference.model_input import ModelInput
from cxrjax.inference.predictor import Predictor
from cxrjax.io import predictions_csv, saved_files
from cxrjax.io.crop import Frame
from cxrjax.runs.model_info import ModelInfo
from cxrjax.runtime import atomic_files


class PatchEmbeddings(NamedTuple):
    """Embeddings of the p patches of a radiograph that vote."""

    features: Float32[np.ndarray, "p c"]
    centers: Float64[np.ndarray, "p 2"]  # (row, column) in pixels of the file


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """The prediction for one radiograph; numbers, text and NumPy arrays.

    Where no lungs were found, `label` is None, the votes are 0, and probabilities are NaN. A run that trained a
    segmenter predicts `lung_mask` and `lung_confidence` alone.

    Examples:
        >>> import cxrjax as cx
        >>> model = cx.load("runs/findings")
        >>> prediction = model.predict("patient.png")
        >>> prediction.label in model.classes
        True
        >>> list(prediction.probabilities)
        ['normal', 'bacterial', 'tuberculosis', 'viral', 'covid19']
        >>> prediction.saliency.shape == prediction.lung_mask.shape == prediction.image.shape
        True
        >>> prediction.plot("patient.figure.png")
        >>> sorted(prediction.to_dict())[:3]
        ['confidence', 'decision', 'expected_entropy']

        Arrays are over the standardized square; `to_native` maps them to the pixels of the file:

        >>> radiograph = cx.read_radiograph("patient.png")
        >>> prediction.to_native(prediction.label_map).shape == radiograph.pixels.shape
        True
        >>> [path.name for path in prediction.save(".", ["mask", "map"])]
        ['patient.png.mask.png', 'patient.png.map.png', 'patient.png.map.npy']
    """

    path: str  # of the file; "" of an array
    label: str | None  # the class that the patches voted for; of several findings the positive ones, as "A|B"
    probabilities: dict[str, float]  # by class or finding, mean over the patches
    votes: dict[str, int]  # by class or finding, patches whose most probable class it is, or that vote yes on it
    confidence: float  # probability of the label; NaN of several findings
    vote_fraction: float  # 0..1, of the patches that voted for the label; NaN of several findings
    expected_entropy: float  # nats, mean entropy of the patches' own probabilities
    mutual_information: float  # nats, entropy of `probabilities` less `expected_entropy`
    decision: str  # "undecided" if the confidence is too low to be relied on, by the validation split, else "decided";
    # "" without a label, or where the run has no such threshold
    lung_confidence: float  # 0..1, mean lung probability inside the mask; NaN without a segmenter
    ood_reason: str | None  # why the image is unlike the training radiographs; "" if it is not, None if not judged
    notice: str  # of the model, see `Model.notice`
    reason: str  # why there is no label, or what was repaired in the file; "" if nothing
    image: UInt8[np.ndarray, "s s"] = field(repr=False)  # preprocessed
    lung_mask: Bool[np.ndarray, "s s"] | None  # None without a segmenter
    label_map: UInt8[np.ndarray, "s s"] | None  # 0 background, 1 heart, 2 left lung, 3 right lung (the patient's);
    # without meaning for left and right where the segmenter was trained on both lungs as one; None without a segmenter
    saliency: Float32[np.ndarray, "s s"] | None  # in 0..1, map of `saliency_label`; None of a segmenter's run
    saliency_label: str | None  # the label (of several findings the most likely one), or the class of
    # `Model.with_outputs`; None where no lungs were found
    class_maps: dict[str, Float32[np.ndarray, "s s"]]  # by class, in 0..1; {} without a label, or without
    # `Model.with_outputs`
    embedding: Float32[np.ndarray, "c"] | None  # last feature maps averaged over the patches; None without a label
    patch_embeddings: PatchEmbeddings | None  # None without a label, or without `Model.with_outputs`
    frame: Frame  # of the square [s, s] in the file
    spacing: tuple[float, float] | None  # (row, column) distance between pixels of the file in mm; None if not known
    view: str  # of the file's header, as "PA" or "AP"; "" if it is not known
    model_info: ModelInfo = field(repr=False)  # version of the software and checksum of the weights
    _row: dict[str, Any]  # cells of predictions.csv
    # by finding, whether it is predicted (`cxrjax.ops.voting.find_positive`); {} of one label per radiograph
    findings: dict[str, bool] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)  # by finding, the probability from which on it is
    # predicted; {} of one label per radiograph, or where no lungs were found
    threshold_note: str = ""  # a sentence on where they come from; "" of one label per radiograph
    num_patches: int | None = None  # that voted on each finding; None of one label per radiograph

    @property
    def has_lungs(self) -> bool:
        """True if lungs were found, or if the run requires none."""
        return self._row["status"] == predictions_csv.OK

    @property
    def is_ood(self) -> bool | None:
        """True if the image is unlike the training radiographs; None if the run has no OOD detector."""
        return None if self.ood_reason is None else bool(self.ood_reason)

    @cached_property
    def lung_geometry(self) -> dict[str, float]:
        """Boxes of the lungs (pixels of the file), areas (mm²) and cardiothoracic ratio; {} without a segmenter.

        The columns of the same names in predictions.csv; see `cxrjax.inference.lung_geometry`.
        """
        if self.label_map is None:
            return {}
        return lung_geometry.measure_geometry(self.label_map, self.frame, self.spacing)

    def to_native(self, array: Shaped[np.ndarray, "s s"], *, fill: float = 0) -> Shaped[np.ndarray, "height width"]:
        """Map an array over the standardized square to the file's own height, width and orientation.

        It undoes the resizing to a square, and puts back the borders that were cropped.

        Args:
            array: a field of this prediction, or derived from one. bool and integers are resized by nearest
                neighbor, floats linearly.
            fill: value in the borders that were cropped.

        Returns:
            Array over the upright radiograph, of the type of `array`.
        """
        return self.frame.restore(array, fill=fill)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the arrays as values that JSON has; None for NaN."""
        numbers = ("confidence", "vote_fraction", "expected_entropy", "mutual_information", "lung_confidence")
        texts = ("path", "view", "label", "saliency_label", "decision", "ood_reason", "notice", "reason")
        values = {name: getattr(self, name) for name in texts}
        values |= {name: _json_number(getattr(self, name)) for name in numbers}
        values["probabilities"] = {name: _json_number(value) for name, value in self.probabilities.items()}
        values["lung_geometry"] = {name: _json_number(value) for name, value in self.lung_geometry.items()}
        values |= {"height": self.frame.height, "width": self.frame.width, "spacing": self.spacing}
        values["votes"] = dict(self.votes)
        if self.num_patches is not None:
            values |= {"findings": dict(self.findings), "num_patches": self.num_patches}
            values |= {"thresholds": dict(self.thresholds), "threshold_note": self.threshold_note}
        return values

    def to_row(self) -> dict[str, Any]:
        """Return the cells of the row of `predictions.csv` that the command line writes: text and numbers by column.

        Returns:
            A flat dictionary, as for a table; a column that does not apply is missing.

        Examples:
            >>> import cxrjax as cx
            >>> row = cx.load("runs/findings").predict("patient.png").to_row()
            >>> row["path"], row["status"], row["probability_viral"] <= row["confidence"]
            ('patient.png', 'ok', True)
        """
        geometry = {name: value for name, value in self.lung_geometry.items() if not np.isnan(value)}
        return {"path": self.path, "view": self.view} | self._row | geometry

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw the radiograph with its lungs, its saliency map and the votes, as `--mode=predict` does.

        Args:
            path: the PNG to write.
        """
        content = prediction_files.encode(self, "figure")
        assert content is not None
        atomic_files.atomic_write(path, content)

    def save(
        self, folder: str | os.PathLike[str], kinds: Sequence[str] = ("figure",), *, name: str | None = None
    ) -> list[Path]:
        """Write files of this prediction, as `--mode=predict --save=KINDS` does; files of the same name are replaced.

        Args:
            folder: the folder, which is created if it does not exist.
            kinds: any of "figure" (see `plot`); "mask", NAME.mask.png, the label map at the size of the file; "map",
                the saliency map at that size as NAME.map.png of 16 bit, in which 65535 is 1, and as NAME.map.npy of
                float32; "overlay", NAME.overlay.png, the map and the lungs' contour over the radiograph at that size;
                "json", NAME.prediction.json with the content of `to_dict`; "embedding", NAME.embedding.npz with
                `embedding` and, where there are any, `patch_embeddings` and `patch_centers`; "dicom", of a DICOM file,
                NAME.segmentation.dcm, NAME.overlay.dcm and NAME.report.dcm, see `to_dicom`.
            name: NAME; None for the name of the radiograph's file, or "radiograph" of an array.

        Returns:
            The files. What does not apply is not written: masks without a segmenter; maps and embeddings where no
            lungs were found, or of a run that trained a segmenter.

        Raises:
            ValueError: there is no such kind of file.
            DicomResultError: the DICOM files cannot be made, see `cxrjax.dicom.build_results`.
            OSError: a file cannot be written.
        """
        Path(folder).mkdir(parents=True, exist_ok=True)
        stem = name or Path(self.path).name or "radiograph"
        encoder = prediction_files.FileEncoder(self, Path(self.path))
        contents = {file: encoder.encode(file) for file in saved_files.list_files(kinds)}
        paths = []
        for file, content in contents.items():
            if content is not None:
                paths.append(Path(folder, stem + saved_files.SUFFIXES[file]))
                atomic_files.atomic_write(paths[-1], content)
        return paths

    def to_dicom(
        self, source: pydicom.Dataset | str | os.PathLike[str], *, deidentify: bool = False
    ) -> list[pydicom.Dataset]:
        """Return DICOM objects for the study of the radiograph (requires cxrjax[dicom]).

        Args:
            source: DICOM file of the radiograph, or its data set.
            deidentify: whether to leave out the attributes of patient and study, and to replace the UIDs.

        Returns:
            Segmentation, Secondary Capture and Structured Report; see `cxrjax.dicom.build_results`.

        Raises:
            DicomResultError: see `cxrjax.dicom.build_results`.

        Examples:
            >>> import cxrjax as cx
            >>> prediction = cx.load("runs/findings").predict("patient.dcm")
            >>> [result.Modality for result in prediction.to_dicom("patient.dcm")]
            ['SEG', 'OT', 'SR']
        """
        return dicom.build_results(self, source, deidentify=deidentify)

    def __repr__(self) -> str:
        if self.num_patches is not None:
            return f"Prediction(label={self.label!r}, path={self.path!r})"
        return f"Prediction(label={self.label!r}, confidence={self.confidence:.3g}, path={self.path!r})"


def assemble(predictor: Predictor, image: ModelInput, result: Any) -> Prediction:
    """Return the prediction for an image.

    Args:
        predictor: of the run.
        image: the image.
        result: of `predictor.predict` for the image.
    """
    row: dict[str, Any] = predictor.to_row(result) | {"decision": predictor.decision(result)}
    if predictor.notice:
        row["notice"] = predictor.notice
    row["reason"] = row["reason"] or image.note
    nan = float("nan")
    return Prediction(
        path=image.path,
        label=row.get("prediction"),
        probabilities={name: row.get(f"probability_{name}", nan) for name in predictor.classes},
        votes={name: row[f"votes_{name}"] for name in predictor.classes},
        confidence=row.get("confidence", nan),
        vote_fraction=row.get("vote_fraction", nan),
        expected_entropy=row.get("expected_entropy", nan),
        mutual_information=row.get("mutual_information", nan),
        decision=row["decision"],
        lung_confidence=row["lung_confidence"],
        ood_reason=row.get("ood_reason"),
        notice=predictor.notice,
        reason=row["reason"],
        image=image.pixels,
        lung_mask=predictor.lung_mask(result),
        label_map=predictor.label_map(result),
        saliency=predictor.saliency(result),
        saliency_label=predictor.saliency_label(result),
        class_maps=predictor.class_maps(result),
        embedding=predictor.embedding(result),
        patch_embeddings=_locate(predictor.patch_embeddings(result), image),
        frame=image.frame,
        spacing=image.spacing,
        view=image.view,
        model_info=predictor.model_info,
        _row=row,
        findings=predictor.findings(result),
        thresholds=_thresholds(row, predictor.classes),
        threshold_note=predictor.threshold_note,
        num_patches=row.get(predictions_csv.NUM_PATCHES),
    )


def _thresholds(row: Mapping[str, Any], classes: Sequence[str]) -> dict[str, float]:
    """Return the thresholds of a row by finding; {} where it has none."""
    columns = {name: f"{predictions_csv.THRESHOLD_PREFIX}{name}" for name in classes}
    return {name: row[column] for name, column in columns.items() if column in row}


def _locate(patches: pipeline.PatchEmbeddings | None, image: ModelInput) -> PatchEmbeddings | None:
    """Return embeddings with the centers of the patches in pixels of the file; of a box, its middle."""
    if patches is None:
        return None
    centers = np.asarray(patches.centers)
    if centers.ndim == 3:  # (start, stop) of rows and columns
        centers = (centers.sum(2) - 1) / 2
    return PatchEmbeddings(np.asarray(patches.features), image.frame.locate(centers, len(image.pixels)))


def _json_number(value: float) -> float | None:
    return None if np.isnan(value) else value
