"""Whether what was exported gives what the run gives, on made-up input."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from cxrjax.models.spec import ModelSpec

COUNT = 2  # radiographs, or pictures; not the number that anything was compiled for
LIMIT = 1e-4  # of the largest difference, as a share of the largest value


class ExportMismatchError(ValueError):
    """A file that does not give what the run gives; the message names it and says by how much."""


def synthetic_batch(config: ConfigDict) -> tuple[np.ndarray, ...]:
    """What a program of `stablehlo.build` reads: two dark ellipses in a bright frame, with noise."""
    side = config.image.size
    row, column = np.mgrid[:side, :side] / side
    lungs = np.minimum(*(((row - 0.5) / 0.3) ** 2 + ((column - middle) / 0.13) ** 2 for middle in (0.3, 0.7))) < 1
    noise = np.random.default_rng(0).integers(0, 60, (COUNT, side, side))
    images = (np.where(lungs, 40, 180) + noise).astype(np.uint8)
    return (images,) if config.task == "segment" else (images, np.arange(COUNT, dtype=np.uint32))


def synthetic_input(network: ModelSpec) -> np.ndarray:
    """What a network reads: noise in 0..1."""
    shape = (COUNT, network.size, network.size, network.channels)
    return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


def assert_close(name: str, given: Mapping[str, Any], wanted: Mapping[str, Any], unit: float) -> dict[str, float]:
    """The largest difference of each output, as a share of the largest value that is wanted of it.

    Args:
        name: of the file, for the message.
        given: arrays that the file gives, by name.
        wanted: arrays that the run gives.
        unit: what stands for the largest value where that is smaller.

    Raises:
        UnequalExport: one is over LIMIT, or has another shape.
    """
    differences = {}
    for output, want in jax.device_get(dict(wanted)).items():
        difference = _measure(np.asarray(given[output], np.float64), np.asarray(want, np.float64), unit)
        if difference > LIMIT:
            raise ExportMismatchError(
                f"{name}: its {output} differ from those of the run by {difference:.1e} of the largest, "
                f"more than {LIMIT:.0e}; nothing was written"
            )
        differences[output] = difference
    return differences


def summary(differences: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """What settings.json says of it."""
    return {
        "input": f"{COUNT} made-up radiographs, or for a network alone {COUNT} pictures of noise",
        "differences": differences,
        "in": f"shares of the largest value; of findings, where that is below 1, of 1; at most {LIMIT}",
    }


def _measure(given: np.ndarray, wanted: np.ndarray, unit: float) -> float:
    if given.shape != wanted.shape or (np.isnan(given) != np.isnan(wanted)).any():
        return np.inf
    apart, largest = np.nan_to_num(np.abs(given - wanted)).max(), np.nan_to_num(np.abs(wanted)).max()
    return float(apart / max(largest, unit))
