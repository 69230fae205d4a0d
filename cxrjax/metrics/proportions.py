"""Proportions: how sure one is, and whether two on the same radiographs differ."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import fftconvolve
from scipy.special import gammaln, ndtri

LEVEL = 0.95  # of every interval


def wilson(share: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927), which holds its level near 0 and 1 too.

    Args:
        share: the proportion seen, 0..1.
        n: how many it is of, above 0; an effective number may be broken.
        level: of confidence, 0..1.

    Returns:
        (low, high), in 0..1.
    """
    z = ndtri(0.5 + level / 2)
    middle = share + z * z / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    low, high = (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)
    # At 0 and 1 rounding would leave a trace beside the bound itself.
    return 0.0 if share == 0 else float(low), 1.0 if share == 1 else float(high)


def mcnemar_test(differences: NDArray[np.integer]) -> float:
    """Return the p of the exact test that two raters are equally often right, patient by patient.

    Exchanging both raters of a patient is as likely as not if they are alike: each difference may as well have the
    other sign. Where every patient has one radiograph this is the exact test of McNemar (1947).

    Args:
        differences: int, of each patient: radiographs that the first alone got right less those the second alone did.

    Returns:
        The two-sided p, 0..1: the share of all signs whose sum is as far from 0 as that seen; 1 where all are 0.
    """
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    chances = np.ones(1)  # of each sum, from the least to the greatest
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        each = np.zeros(2 * size * count + 1)
        each[:: 2 * size] = np.exp(_log_binomial(count))
        chances = fftconvolve(chances, each) if len(chances) > _DIRECT else np.convolve(chances, each)
    reach = (len(chances) - 1) // 2
    sums = np.abs(np.arange(-reach, reach + 1))
    return float(min(1.0, np.maximum(chances, 0)[sums >= abs(int(differences.sum()))].sum()))


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Return adjusted p values of m tests, the k-th smallest by m - k + 1, never falling and at most 1 (Holm 1979)."""
    p = np.asarray(p, np.float64)
    order = p.argsort()
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted


def _log_binomial(count: int) -> NDArray[np.float64]:
    """Return log of the chance of 0..count heads of as many fair coins."""
    heads = np.arange(count + 1)
    return gammaln(count + 1) - gammaln(heads + 1) - gammaln(count - heads + 1) - count * np.log(2)


_DIRECT = 2000  # sums, from which on the fast Fourier transform is faster
