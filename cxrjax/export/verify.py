"""Verification of exported files: their outputs on synthetic input agree with those of the run."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from cxrjax.models.spec import ModelSpec
from cxrjax.runtime.errors import CxrjaxError

COUNT = 2  # radiographs, or images; differs from any batch size that was compiled
LIMIT = 1e-4  # maximum difference, as a fraction of the largest value


class ExportMismatchError(CxrjaxError, ValueError):
    """The outputs of an exported file differ from those of the run; the message has the file and the difference."""


def synthetic_batch(side: int) -> dict[str, np.ndarray]:
    """Return inputs for a program of `stablehlo.build`, by name: two dark ellipses in a bright frame, with noise."""
    row, column = np.mgrid[:side, :side] / side
    ellipses = [((row - 0.5) / 0.3) ** 2 + ((column - center) / 0.13) ** 2 for center in (0.3, 0.7)]
    lungs = np.minimum(*ellipses) < 1
    noise = np.random.default_rng(0).integers(0, 60, (COUNT, side, side))
    images = (np.where(lungs, 40, 180) + noise).astype(np.uint8)
    return {"images": images, "image_ids": np.arange(COUNT, dtype=np.uint32)}


def synthetic_input(network: ModelSpec) -> np.ndarray:
    """Return an input batch for a network: noise in 0..1."""
    shape = (COUNT, network.input_size, network.input_size, network.in_channels)
    return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


def check_outputs(name: str, actual: Mapping[str, Any], expected: Mapping[str, Any], unit: float) -> dict[str, float]:
    """Check that outputs are close to the expected ones, and return their largest differences.

    Args:
        name: name of the file, for the message.
        actual: outputs of the file, by name.
        expected: outputs of the run, by name.
        unit: replaces the largest expected value if that is smaller.

    Returns:
        The largest difference of each output, as a fraction of its largest finite expected value.

    Raises:
        ExportMismatchError: a difference exceeds LIMIT, an output has another shape, or NaN or an infinity is not
            where it is expected.
    """
    differences = {}
    for output, value in jax.device_get(dict(expected)).items():
        difference = _relative_difference(np.asarray(actual[output], np.float64), np.asarray(value, np.float64), unit)
        if difference is None:
            raise ExportMismatchError(
                f"{name}: the shape of its {output}, or the places of its NaN and infinities, differ from those of the "
                "run; nothing was written"
            )
        if difference > LIMIT:
            raise ExportMismatchError(
                f"{name}: its {output} differ from those of the run by {difference:.1e} of the largest, "
                f"more than {LIMIT:.0e}; nothing was written"
            )
        differences[output] = difference
    return differences


def summary(differences: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Return the entry of manifest.json on the verification."""
    return {
        "input": f"{COUNT} synthetic radiographs, or for a network alone {COUNT} images of noise",
        "differences": differences,
        "unit": f"fractions of the largest value (of 1 where a prediction has no value above 1), <= {LIMIT}",
    }


def _relative_difference(actual: np.ndarray, expected: np.ndarray, unit: float) -> float | None:
    """Return the largest difference over the largest expected value, of finite ones; None for unequal shapes or NaN."""
    if actual.shape != expected.shape:
        return None
    finite = np.isfinite(expected) & np.isfinite(actual)
    if not np.array_equal(actual[~finite], expected[~finite], equal_nan=True):
        return None
    difference = np.abs(actual[finite] - expected[finite]).max(initial=0)
    return float(difference / np.abs(expected[finite]).max(initial=unit))
