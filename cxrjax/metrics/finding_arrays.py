"""Truth and predictions of several findings per radiograph as arrays, from which scores are computed."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from cxrjax.io import findings, predictions_csv


class FindingArrays(NamedTuple):
    """Truth and predictions of n radiographs with k findings."""

    findings: tuple[str, ...]
    positive: Bool[np.ndarray, "n k"]  # whether a finding is present; False where that is not known
    known: Bool[np.ndarray, "n k"]  # whether the truth is known, neither uncertain nor missing
    uncertain: Bool[np.ndarray, "n k"]  # whether the finding was considered, and neither confirmed nor excluded
    called: Bool[np.ndarray, "n k"]  # whether a finding is predicted; False without a prediction
    probabilities: Float[np.ndarray, "n k"]  # NaN without a prediction

    def rows(self, k: int) -> Int[np.ndarray, "rows"]:
        """Return the indices of the radiographs whose truth is known for finding k."""
        return np.flatnonzero(self.known[:, k])

    def rows_with_prediction(self, k: int) -> Int[np.ndarray, "rows"]:
        """Return the indices of those that have a probability too; only these can be calibrated."""
        return np.flatnonzero(self.known[:, k] & ~np.isnan(self.probabilities[:, k]))

    def select(self, rows: Int[np.ndarray, "rows"]) -> "FindingArrays":
        """Return the radiographs at the given indices."""
        return self._replace(
            positive=self.positive[rows],
            known=self.known[rows],
            uncertain=self.uncertain[rows],
            called=self.called[rows],
            probabilities=self.probabilities[rows],
        )

    def select_findings(self, names: Sequence[str]) -> "FindingArrays":
        """Return the findings of the given names alone."""
        columns = [self.findings.index(name) for name in names]
        return self._replace(
            findings=tuple(names),
            positive=self.positive[:, columns],
            known=self.known[:, columns],
            uncertain=self.uncertain[:, columns],
            called=self.called[:, columns],
            probabilities=self.probabilities[:, columns],
        )


def collect(rows: Sequence[Mapping]) -> FindingArrays:
    """Return the rows of `predictions_csv.read` as arrays.

    A soft label of at least 0.5 counts as present. A row of a radiograph without a prediction has none of the findings
    called and no probabilities.

    Raises:
        ValueError: there is no row.
    """
    if not rows:
        raise ValueError("there is no radiograph to score")
    names = predictions_csv.class_names(rows[0], predictions_csv.COUNT_PREFIX)
    targets = predictions_csv.targets(rows, names)
    called = [findings.from_label(row["prediction"]) for row in rows]
    return FindingArrays(
        findings=tuple(names),
        positive=findings.is_present(targets),
        known=findings.is_known(targets),
        uncertain=targets == findings.UNCERTAIN,
        called=np.array([[name in found for name in names] for found in called], bool).reshape(-1, len(names)),
        probabilities=predictions_csv.probabilities(rows, names),
    )


def list_errors(row: Mapping) -> list[str]:
    """Return the findings of a row that are present but not predicted, or absent but predicted, the worst first.

    The worst is the one whose probability is the furthest from the truth. Without a prediction, they are those that are
    present.
    """
    names = predictions_csv.class_names(row, predictions_csv.TARGET_PREFIX)
    called = findings.from_label(row["prediction"])
    wrong = []
    for name in names:
        target = row[predictions_csv.TARGET_PREFIX + name]
        if findings.is_known(np.asarray(target)) and (target >= findings.PRESENT) != (name in called):
            wrong.append(name)
    return sorted(wrong, key=lambda name: -error(row, name))


def error(row: Mapping, name: str) -> float:
    """Return how far the probability of a finding is from its truth, 0..1; 1 without a probability."""
    distance = abs(row[predictions_csv.TARGET_PREFIX + name] - row[f"probability_{name}"])
    return 1.0 if np.isnan(distance) else float(distance)


def count_by_source(
    sources: Sequence[str], targets: Float[np.ndarray, "n k"], names: Sequence[str]
) -> dict[str, dict[str, list[int]]]:
    """Count radiographs by source and finding.

    Args:
        sources: source of each of n radiographs.
        targets: 0..1, -1 where uncertain and NaN where unknown, which are not counted (`cxrjax.io.findings`).
        names: of the k findings.

    Returns:
        {source: {finding: [number without it, number with it]}}.
    """
    source_names = np.asarray(sources)
    counts: dict[str, dict[str, list[int]]] = {}
    for source in sorted(set(sources)):
        rows = source_names == source
        present = findings.is_present(targets[rows]).sum(0)
        absent = findings.is_absent(targets[rows]).sum(0)
        counts[source] = {name: [int(absent[k]), int(present[k])] for k, name in enumerate(names)}
    return counts
