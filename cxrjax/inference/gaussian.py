"""Mahalanobis distance to a Gaussian fitted with a shrunk covariance; there may be fewer points than dimensions."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import solve_triangular


class GaussianFit(NamedTuple):
    """Normal distribution, in the form that distances are computed with."""

    mean: Float[np.ndarray, "d"]
    whitener: Float[np.ndarray, "d d"]  # (x - mean) @ whitener has unit covariance


def fit_gaussian(x: Float[np.ndarray, "n d"]) -> GaussianFit:
    """Fit a Gaussian to points; each coordinate is divided by its standard deviation before shrinkage."""
    mean = x.mean(0)
    deviation = x.std(0)
    deviation = np.maximum(deviation, 1e-3 * deviation.max(initial=0) + 1e-12)
    factor = np.linalg.cholesky(shrink_covariance((x - mean) / deviation) + 1e-9 * np.eye(len(mean)))
    return GaussianFit(mean, solve_triangular(factor, np.diag(1 / deviation), lower=True).T)


def measure_distance(gaussian: GaussianFit, x: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "n"]:
    """Compute the Mahalanobis distances of points, which are flattened."""
    return np.linalg.norm((x.reshape(len(x), -1) - gaussian.mean) @ gaussian.whitener, axis=1)


def shrink_covariance(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "d d"]:
    """Compute the covariance of x, whose columns have mean 0, shrunk towards a multiple of the identity.

    Ledoit & Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices", section 3.
    """
    n, dimensions = x.shape
    sample = x.T @ x / n
    scale = np.trace(sample) / dimensions
    distance = ((sample - scale * np.eye(dimensions)) ** 2).sum()
    noise = ((x**2).sum(1) ** 2).sum() / n**2 - (sample**2).sum() / n
    shrinkage = min(noise / distance, 1.0) if distance else 0.0
    return (1 - shrinkage) * sample + shrinkage * scale * np.eye(dimensions)
