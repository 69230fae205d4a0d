"""Distance correlation between features and source, as a penalty.

Székely, Rizzo & Bakirov 2007, "Measuring and testing dependence by correlation of distances", definition 3: 0 where the
features are independent of the source, up to the noise of a small batch, and 1 where one is a linear image of the
other.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

_EPSILON = 1e-8  # under square roots, whose gradient is not finite at 0


def source_correlation(features: Float[Array, "n d"], sources: Int32[Array, "n"], num_sources: int) -> Float[Array, ""]:
    """Compute the squared distance correlation, 0..1, of features and the source of each example."""
    return squared_correlation(features, jax.nn.one_hot(sources, num_sources))


def squared_correlation(x: Float[Array, "n p"], y: Float[Array, "n q"]) -> Float[Array, ""]:
    """Compute the squared distance correlation, 0..1, of two samples; 0 where one of them is constant."""
    distances_x = _centered_distances(x)
    distances_y = _centered_distances(y)
    covariance = (distances_x * distances_y).mean()
    variances = (distances_x**2).mean() * (distances_y**2).mean()
    return covariance / jnp.sqrt(jnp.maximum(variances, _EPSILON))


def _centered_distances(x: Float[Array, "n p"]) -> Float[Array, "n n"]:
    """Return the Euclidean distances of all pairs, minus the means of their row and column, plus the mean of all."""
    squares = jnp.square(x[:, None] - x[None]).sum(-1)
    distances = jnp.where(squares > 0, jnp.sqrt(jnp.maximum(squares, _EPSILON)), 0.0)
    return distances - distances.mean(0) - distances.mean(1, keepdims=True) + distances.mean()
