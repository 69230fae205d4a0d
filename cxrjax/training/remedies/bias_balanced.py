"""Softmax balanced by the frequency of each class in the source of a radiograph.

Luo et al. 2022, "Pseudo bias-balanced learning for debiased chest X-ray classification", equation 4: the logarithm of
p(class | source) in training is added to the logits, so that the network has to explain only what the source does not.
At inference nothing is added. A class that a source lacks does not compete there, and a source of one class has no
loss.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, Int32

_LOG_ZERO = -1e9  # in place of the logarithm of 0, whose difference from itself is not a number


def log_prior(counts: Int[np.ndarray, "sources k"]) -> Float32[np.ndarray, "sources k"]:
    """Return the logarithm of the frequency of each class in each source; about minus infinity where it has none."""
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return np.where(counts > 0, np.log(np.maximum(shares, np.finfo(np.float32).tiny)), _LOG_ZERO).astype(np.float32)


def balance_logits(
    logits: Float[Array, "n k"], sources: Int32[Array, "n"], prior: Float32[np.ndarray, "sources k"]
) -> Float[Array, "n k"]:
    """Add the logarithm of the frequency of each class in the source of each example to its logits."""
    return logits + jnp.asarray(prior)[sources]
