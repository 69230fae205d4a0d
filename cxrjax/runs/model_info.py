"""Identity of a trained model, which its results record."""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict

import cxrjax
from cxrjax.config import Config


class ModelInfo(NamedTuple):
    """Software and weights that made a prediction.

    Attributes:
        version: of cxrjax.
        weights_sha256: of the parameters of the networks, see `hash_weights`.
        step: training step of the networks.
        architectures: of the networks, such as ("fc_densenet56", "resnet18"); the segmenter is the first.
        temperature: by which the logits were divided, of several findings by finding; 1 if they were not.
    """

    version: str
    weights_sha256: str
    step: int
    architectures: tuple[str, ...]
    temperature: float | Mapping[str, float] = 1.0

    @property
    def calibration(self) -> str:
        """The temperature in words; "" if the probabilities are not calibrated."""
        if isinstance(self.temperature, Mapping):
            return ", ".join(f"{name} {value:.6g}" for name, value in self.temperature.items())
        return "" if self.temperature == 1 else f"{self.temperature:.6g}"


def describe(
    config: Config, step: int, variables: Mapping[str, Any], temperature: float | Mapping[str, float]
) -> ModelInfo:
    """Return the identity of a model.

    Args:
        config: of its run.
        step: training step of its networks.
        variables: {"segmenter": variables, "classifier": variables} of its networks; a value may be None.
        temperature: of its probabilities, of several findings by finding.
    """
    architectures = [
        getattr(config, name).architecture for name in ("segmenter", "classifier") if variables.get(name) is not None
    ]
    return ModelInfo(cxrjax.__version__, hash_weights(variables), step, tuple(architectures), temperature)


def hash_weights(variables: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the networks' arrays, in hexadecimal digits.

    It is taken over the name, type, shape and little-endian bytes of each array, in the order of the names. A run and a
    model file of type float32 made from it have the same.
    """
    arrays: dict[str, Any] = flatten_dict(
        {name: value for name, value in variables.items() if value is not None}, sep="/"
    )  # pyright: ignore[reportAssignmentType]
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        digest.update(f"{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False)).data)
    return digest.hexdigest()
