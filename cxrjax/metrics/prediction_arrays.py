"""Predictions of a classifier as arrays, from which scores and comparisons are computed."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from cxrjax.io import predictions_csv
from cxrjax.metrics import bootstrap, classification
from cxrjax.metrics.patient_weights import Weights

_STUDY = re.compile("study-[0-9a-f]{24}")  # identifier that data_prep gives to a study without a patient id


class PredictionArrays(NamedTuple):
    """Labels and predictions of n radiographs with k classes."""

    classes: list[str]
    truth: Int[np.ndarray, "n"]  # index of the label
    predicted: Int[np.ndarray, "n"]  # index of the predicted class; k without a prediction
    source_baseline: Int[np.ndarray, "n"]  # index of the class predicted from the source alone; k without one
    probabilities: Float[np.ndarray, "n k"]  # NaN without a prediction
    votes: Int[np.ndarray, "n k"]  # zeros without a prediction
    certainty: dict[str, Float[np.ndarray, "n"]]  # measures of certainty, higher is more certain; NaN without one
    lesion_energy: Float[np.ndarray, "n"]  # share of the saliency map in known lesions, NaN without known lesions
    is_ood: Bool[np.ndarray, "n"] | None  # whether the OOD detector flags the image; None without a detector

    @property
    def correct(self) -> Bool[np.ndarray, "n"]:
        """Correctness of each prediction."""
        return self.truth == self.predicted

    @property
    def with_prediction(self) -> Int[np.ndarray, "rows"]:
        """Indices of the radiographs with a prediction and probabilities; only these can be calibrated."""
        return np.flatnonzero((self.predicted < len(self.classes)) & ~np.isnan(self.probabilities).any(1))

    def scores(self, rows: Int[np.ndarray, "rows"], weights: Weights) -> dict:
        """Return the scores of the radiographs at `rows`, under r weightings of all radiographs."""
        return classification.measure_predictions(
            self.truth[rows], self.predicted[rows], self.probabilities[rows], self.classes, weights[:, rows]
        )


def collect(rows: Sequence[Mapping]) -> PredictionArrays:
    """Return the rows of `predictions_csv.read` as arrays; a column that an older file lacks becomes NaN.

    Raises:
        ValueError: there is no row, or a label or a prediction is not one of the classes.
    """
    if not rows:
        raise ValueError("there is no radiograph to score")
    classes = predictions_csv.class_names(rows[0], predictions_csv.COUNT_PREFIX)

    def column(name: str) -> Float[np.ndarray, "n"]:
        return np.array([row.get(name, np.nan) for row in rows], np.float64)

    certainty = {
        "vote_fraction": column("vote_fraction"),
        "confidence": column("confidence"),
        "entropy": -(column("expected_entropy") + column("mutual_information")),
    }
    baseline = [row.get("source_baseline", classification.NO_PREDICTION) for row in rows]
    return PredictionArrays(
        classes=classes,
        truth=classification.index_labels([row["label"] for row in rows], classes),
        predicted=classification.index_predictions([row["prediction"] for row in rows], classes),
        source_baseline=classification.index_predictions(baseline, classes),
        probabilities=predictions_csv.probabilities(rows, classes),
        votes=np.array([[row[predictions_csv.COUNT_PREFIX + name] for name in classes] for row in rows]),
        certainty={name: values for name, values in certainty.items() if not np.isnan(values).all()},
        lesion_energy=column("energy_in_lesions"),
        is_ood=np.array([bool(row["ood_reason"]) for row in rows]) if "ood_reason" in rows[0] else None,
    )


def names_patient(patient_id: str) -> bool:
    """Return whether an identifier is that of a patient: not blank, and not that of a study without a patient id."""
    return bool(patient_id) and not _STUDY.fullmatch(patient_id)


def count_patients(rows: Sequence[Mapping]) -> dict[str, int]:
    """Return the number of "patients", and of radiographs "without_patient", which count as one patient each."""
    patient_ids = [row.get("patient_id", "") for row in rows]
    named = [patient_id for patient_id in patient_ids if names_patient(patient_id)]
    without_patient = len(rows) - len(named)
    return {"patients": len(set(named)) + without_patient, "without_patient": without_patient}


def patients(rows: Sequence[Mapping]) -> list[str]:
    """Return the patient of each row; see `bootstrap.fill_missing_patients`."""
    return bootstrap.fill_missing_patients([row.get("patient_id", "") for row in rows])
