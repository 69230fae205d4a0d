"""The prediction for one radiograph as numbers, text and NumPy arrays."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cxrjax import plotting
from cxrjax.inference import rows
from cxrjax.io import predictions_csv
from cxrjax.runtime import terminal


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
    """

    path: str  # of the file; "" of an array
    label: str | None  # the class that the patches voted for
    probabilities: dict[str, float]  # by class, mean over the patches
    votes: dict[str, int]  # by class, patches whose most probable class it is
    confidence: float  # probability of the label
    vote_fraction: float  # 0..1, of the patches that voted for the label
    expected_entropy: float  # nats, mean entropy of the patches' own probabilities
    mutual_information: float  # nats, entropy of `probabilities` less `expected_entropy`
    decision: str  # "undecided" if the confidence is too low to be relied on, by the validation split, else "decided";
    # "" without a label, or where the run has no such threshold
    lung_confidence: float  # 0..1, mean lung probability inside the mask; NaN without a segmenter
    ood_reason: str | None  # why the image is unlike the training radiographs; "" if it is not, None if not judged
    reason: str  # why there is no label, or what was repaired in the file; "" if nothing
    image: np.ndarray = field(repr=False)  # uint8 [S, S], preprocessed
    lung_mask: np.ndarray | None  # bool [S, S]; None without a segmenter
    saliency: np.ndarray | None  # float32 [S, S] in 0..1, where the label was seen; None of a segmenter's run
    view: str  # of the file's header, as "PA" or "AP"; "" if it is not known
    _row: dict[str, Any]  # cells of predictions.csv

    @property
    def has_lungs(self) -> bool:
        """True if lungs were found, or if the run requires none."""
        return self._row["status"] == predictions_csv.OK

    @property
    def is_ood(self) -> bool | None:
        """True if the image is unlike the training radiographs; None if the run has no OOD detector."""
        return None if self.ood_reason is None else bool(self.ood_reason)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the arrays as values that JSON has; None for NaN."""
        numbers = ("confidence", "vote_fraction", "expected_entropy", "mutual_information", "lung_confidence")
        texts = ("path", "view", "label", "decision", "ood_reason", "reason")
        values = {name: getattr(self, name) for name in texts}
        values |= {name: _json_number(getattr(self, name)) for name in numbers}
        values["probabilities"] = {name: _json_number(value) for name, value in self.probabilities.items()}
        return values | {"votes": dict(self.votes)}

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
        return {"path": self.path, "view": self.view} | self._row

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw the radiograph with its lungs, its saliency map and the votes, as `--mode=predict` does.

        Args:
            path: the PNG to write.
        """
        title = [terminal.escape(Path(self.path).name) or "radiograph", rows.describe(self._row)]
        if self.ood_reason:
            title.append(f"out of distribution: {self.ood_reason}")
        probabilities = np.array(list(self.probabilities.values()), np.float32) if self.probabilities else None
        votes = list(self.votes.values()) if self.votes else None
        plotting.draw_prediction(
            self.image, self.lung_mask, self.saliency, title, probabilities, votes, tuple(self.votes), Path(path)
        )

    def __repr__(self) -> str:
        return f"Prediction(label={self.label!r}, confidence={self.confidence:.3g}, path={self.path!r})"


def _json_number(value: float) -> float | None:
    return None if np.isnan(value) else value
