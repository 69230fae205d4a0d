"""Factored weights equal their matrix in every operation."""

import numpy as np
import pytest

from cxrjax.metrics import patient_weights
from cxrjax.metrics.patient_weights import PatientWeights


@pytest.fixture
def factors():
    """Weights of 7 patients in 5 weightings and of their 30 radiographs, and the matrix."""
    rng = np.random.default_rng(0)
    by_patient = rng.integers(0, 4, (7, 5)).astype(float)
    patient_index = rng.integers(0, 7, 30)
    return PatientWeights(by_patient, patient_index), by_patient.T[:, patient_index]


def test_products_sums_and_selections_equal_the_matrix(factors):
    weights, matrix = factors
    rng = np.random.default_rng(1)
    assert weights.shape == matrix.shape and len(weights) == 5
    np.testing.assert_array_equal(np.asarray(weights), matrix)
    assert np.asarray(weights, int).dtype == int
    for values in (
        rng.integers(0, 9, 30),
        rng.random(30) < 0.5,
        rng.integers(0, 9, (30, 3)),
        rng.random((30, 4)) < 0.5,
    ):
        np.testing.assert_array_equal(weights @ values, matrix @ values)
    np.testing.assert_array_equal(np.asarray(weights[:1, np.arange(3)]), matrix[:1, :3])
    for rows in (np.array([3, 3, 0, 29]), np.arange(30) % 2 == 0, np.array([], int)):
        part = weights[:, rows]
        np.testing.assert_array_equal(np.asarray(part), matrix[:, rows])
        np.testing.assert_array_equal(part.sum(1), matrix[:, rows].sum(-1))
        np.testing.assert_array_equal(part @ np.ones((part.shape[1], 2)), matrix[:, rows] @ np.ones((part.shape[1], 2)))


def test_sums_within_groups_and_segments_equal_the_matrix(factors):
    weights, matrix = factors
    rng = np.random.default_rng(2)
    groups = rng.integers(0, 4, 30)
    values = rng.integers(0, 9, 30)
    is_in_group = groups[:, None] == np.arange(4)
    np.testing.assert_array_equal(weights.sum_groups(groups, values), matrix @ (is_in_group * values[:, None]))
    order = rng.permutation(30)[:20]
    bounds = np.array([0, 4, 4, 11, 20])
    expected = [matrix[:, order[start:end]].sum(1) for start, end in zip(bounds[:-1], bounds[1:], strict=True)]
    np.testing.assert_array_equal(weights.sum_segments(order, bounds), expected)
    np.testing.assert_array_equal(patient_weights.factor(matrix).sum_segments(order, bounds), expected)


def test_operands_of_wrong_length_or_axis_are_refused(factors):
    weights, _ = factors
    with pytest.raises(ValueError, match="29 values for the weights of 30 radiographs"):
        weights @ np.ones(29)
    with pytest.raises(ValueError, match="not over axis 0"):
        weights.sum(0)
