"""How far points lie from a cloud of others, in its own spreads; it may have more dimensions than points."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular


class GaussianFit(NamedTuple):
    """A normal distribution, in the form that distances are taken in."""

    mean: NDArray[np.float64]  # [D]
    whitener: NDArray[np.float64]  # [D, D]: (x - mean) @ whitener has unit covariance


def fit_gaussian(x: NDArray[np.float64]) -> GaussianFit:
    """The Cloud of points [n, D], each coordinate in its own deviations before shrinking."""
    mean, deviation = x.mean(0), x.std(0)
    deviation = np.maximum(deviation, 1e-3 * deviation.max(initial=0) + 1e-12)
    factor = np.linalg.cholesky(shrink_covariance((x - mean) / deviation) + 1e-9 * np.eye(len(mean)))
    return GaussianFit(mean, solve_triangular(factor, np.diag(1 / deviation), lower=True).T)


def measure_distance(cloud: GaussianFit, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mahalanobis distances [n] of points [n, ...], each number of a point a coordinate."""
    return np.linalg.norm((x.reshape(len(x), -1) - cloud.mean) @ cloud.whitener, axis=1)


def shrink_covariance(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The covariance [D, D] of x [n, D], its columns of mean 0, shrunk towards a multiple of the identity.

    Ledoit & Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices", section 3.
    """
    n, dimensions = x.shape
    sample = x.T @ x / n
    scale = np.trace(sample) / dimensions
    far = ((sample - scale * np.eye(dimensions)) ** 2).sum()
    noise = ((x**2).sum(1) ** 2).sum() / n**2 - (sample**2).sum() / n
    share = min(noise / far, 1.0) if far else 0.0
    return (1 - share) * sample + share * scale * np.eye(dimensions)
