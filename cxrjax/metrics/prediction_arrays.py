"""The rows of a classifier as arrays: what scores and comparisons of findings are computed from."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxrjax.io import predictions_csv
from cxrjax.metrics import bootstrap, classification

_STUDY = re.compile("study-[0-9a-f]{24}")  # so data_prep calls a study whose patient is not named


class PredictionArrays(NamedTuple):
    """n radiographs with K classes."""

    classes: list[str]
    truth: NDArray[np.intp]  # [n]
    found: NDArray[np.intp]  # [n], K where nothing was found
    guessed: NDArray[np.intp]  # [n], from the source alone; K where there is no guess
    probabilities: NDArray[np.float64]  # [n, K], NaN where nothing was found
    votes: NDArray[np.int64]  # [n, K], zeros where nothing was found
    certainties: dict[str, NDArray[np.float64]]  # of the finding, the higher the surer: [n], NaN where none
    energy: NDArray[np.float64]  # [n], share of the map in known lesions, NaN where none are known
    flagged: NDArray[np.bool_] | None  # [n], whether the gate finds it out of place; None where no gate has judged

    @property
    def right(self) -> NDArray[np.bool_]:
        return self.truth == self.found

    @property
    def claimed(self) -> NDArray[np.intp]:
        """Positions of the radiographs with a finding and its probabilities, which alone can be calibrated."""
        return np.flatnonzero((self.found < len(self.classes)) & ~np.isnan(self.probabilities).any(1))

    def at(self, rows: NDArray[np.intp], weights: NDArray) -> dict:
        """The scores of the radiographs at `rows`, over weights [r, n] of all."""
        probabilities = self.probabilities[rows]
        return classification.measure_findings(
            self.truth[rows], self.found[rows], probabilities, self.classes, weights[:, rows]
        )


def collect(rows: Sequence[Mapping]) -> PredictionArrays:
    """The arrays of the rows of `predictions_csv.read`; what an older file did not have is NaN.

    Raises:
        ValueError: there is no row, or a label or a finding is none of the classes.
    """
    if not rows:
        raise ValueError("there is no radiograph to score")
    classes = predictions_csv.class_names(rows[0], predictions_csv.COUNT_PREFIX)

    def column(name: str) -> NDArray[np.float64]:
        return np.array([row.get(name, np.nan) for row in rows], np.float64)

    entropy = -(column("expected_entropy") + column("mutual_information"))
    certainties = {"vote_fraction": column("vote_fraction"), "confidence": column("confidence"), "entropy": entropy}
    return PredictionArrays(
        classes=classes,
        truth=classification.index_labels([row["label"] for row in rows], classes),
        found=classification.index_findings([row["prediction"] for row in rows], classes),
        guessed=classification.index_findings(
            [row.get("source_baseline", classification.NO_PREDICTION) for row in rows], classes
        ),
        probabilities=predictions_csv.probabilities(rows, classes),
        votes=np.array([[row[predictions_csv.COUNT_PREFIX + name] for name in classes] for row in rows]),
        certainties={name: values for name, values in certainties.items() if not np.isnan(values).all()},
        energy=column("energy_in_lesions"),
        flagged=np.array([bool(row["ood_reason"]) for row in rows]) if "ood_reason" in rows[0] else None,
    )


def names_patient(patient_id: str) -> bool:
    """Return whether an identifier is a patient's: not blank, and not that of a study whose patient is not named."""
    return bool(patient_id) and not _STUDY.fullmatch(patient_id)


def count_patients(rows: Sequence[Mapping]) -> dict[str, int]:
    """Return "patients", where each radiograph that names none counts as one, and "without_patient", those that do."""
    known = [name for row in rows if names_patient(name := row.get("patient_id", ""))]
    without = len(rows) - len(known)
    return {"patients": len(set(known)) + without, "without_patient": without}


def patients(rows: Sequence[Mapping]) -> list[str]:
    """Who each row is of; see `bootstrap.name_patients`."""
    return bootstrap.fill_missing_patients([row.get("patient_id", "") for row in rows])
