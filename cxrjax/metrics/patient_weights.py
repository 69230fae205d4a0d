"""Weights of radiographs that are equal for all radiographs of a patient, as factors of their matrix.

The weights of r resamples of p patients are a matrix [r, n] of n radiographs, each column that of a patient. A metric
needs sums over radiographs under each row, which are sums over the patients of sums over the radiographs of each: with
the n values summed once per patient, a product has r p terms, not r n.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, Num, Shaped
from numpy.typing import DTypeLike
from scipy import sparse


class PatientWeights:
    """A matrix [r, n] of weights, read as an array is: `weights @ values`, `weights[:, rows]`, `weights.sum(1)`.

    `numpy.asarray` returns the matrix itself.
    """

    def __init__(self, by_patient: Float[np.ndarray, "p r"], patient_index: Int[np.ndarray, "n"]) -> None:
        """Make the weights of radiographs from those of their patients.

        Args:
            by_patient: weight of each of p patients in each of r weightings.
            patient_index: patient of each of n radiographs, 0..p-1.
        """
        self._by_patient = by_patient
        self._patient_index = patient_index

    @property
    def shape(self) -> tuple[int, int]:
        """Number of weightings, and of radiographs."""
        return self._by_patient.shape[1], len(self._patient_index)

    def __len__(self) -> int:
        """Return the number of weightings."""
        return self.shape[0]

    def __getitem__(self, key: tuple[slice, Shaped[np.ndarray, "rows"]]) -> "PatientWeights":
        """Return some weightings of some radiographs, given `[:, rows]` or `[:1, rows]`."""
        weightings, rows = key
        by_patient = self._by_patient
        if weightings != slice(None):
            by_patient = np.ascontiguousarray(by_patient[:, weightings])
        return PatientWeights(by_patient, self._patient_index[rows])

    def __matmul__(self, values: Shaped[np.ndarray, "n *k"]) -> Float[np.ndarray, "r *k"]:
        """Return the weighted sums of numbers or booleans, [r] of values [n] or [r, k] of values [n, k]."""
        if len(values) != len(self._patient_index):
            raise ValueError(f"{len(values)} values for the weights of {len(self._patient_index)} radiographs")
        patients = len(self._by_patient)
        if values.ndim == 1:
            sums = np.bincount(self._patient_index, values, patients)
        else:
            columns = np.arange(len(values) + 1)
            belongs = sparse.csc_array((np.ones(len(values)), self._patient_index, columns), (patients, len(values)))
            sums = belongs @ values
        return self._by_patient.T @ sums

    def sum(self, axis: int) -> Float[np.ndarray, "r"]:
        """Return the sum of the weights of each weighting; the axis is 1 or -1, that of the radiographs."""
        if axis not in (1, -1):
            raise ValueError(f"weights have sums over the radiographs, axis 1, not over axis {axis}")
        return self @ np.ones(len(self._patient_index))

    def sum_groups(self, groups: Int[np.ndarray, "n"], values: Shaped[np.ndarray, "n"]) -> Float[np.ndarray, "r g"]:
        """Return the weighted sums of values within groups, the numbers from 0 to g - 1."""
        count = int(groups.max()) + 1
        cells = self._patient_index * count + groups
        sums = np.bincount(cells, values, len(self._by_patient) * count)
        return self._by_patient.T @ sums.reshape(-1, count)

    def sum_segments(
        self, order: Int[np.ndarray, "m"], bounds: Int[np.ndarray, "bounds"]
    ) -> Float[np.ndarray, "bounds-1 r"]:
        """Return the sums of the weights of segments of radiographs.

        Args:
            order: indices of radiographs.
            bounds: segment s consists of the radiographs `order[bounds[s] : bounds[s + 1]]`.
        """
        columns = self._patient_index[order]
        shape = (len(bounds) - 1, len(self._by_patient))
        return sparse.csr_array((np.ones(len(columns)), columns, bounds), shape) @ self._by_patient

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Num[np.ndarray, "r n"]:
        """Return the matrix, for `numpy.asarray`."""
        return self._by_patient.T[:, self._patient_index].astype(dtype or float, copy=False)


Weights = Num[np.ndarray, "r n"] | PatientWeights  # r weightings of n radiographs


def factor(weights: Weights) -> PatientWeights:
    """Return weights as `PatientWeights`, an array as that of patients with one radiograph each."""
    if isinstance(weights, PatientWeights):
        return weights
    return PatientWeights(np.ascontiguousarray(weights.T, float), np.arange(weights.shape[1]))


def index_patients(patients: Sequence[str] | Shaped[np.ndarray, "n"]) -> tuple[int, Int[np.ndarray, "n"]]:
    """Return the number of patients, and the index of the patient of each of n radiographs."""
    names, patient_index = np.unique(patients, return_inverse=True)
    return len(names), patient_index
