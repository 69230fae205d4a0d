"""Confidence interval of a proportion."""

import numpy as np
from scipy.special import ndtri

LEVEL = 0.95  # confidence level of every interval


def wilson(share: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Compute Wilson's score interval of a proportion (Wilson 1927), which has its level near 0 and 1 too.

    Args:
        share: the observed proportion in 0..1.
        n: sample size above 0; an effective size may be fractional.
        level: confidence level in 0..1.

    Returns:
        (low, high), in 0..1.
    """
    z = ndtri(0.5 + level / 2)
    middle = share + z * z / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    low = (middle - half) / (1 + z * z / n)
    high = (middle + half) / (1 + z * z / n)
    # At 0 and 1, rounding errors would move the bound away from its exact value.
    return 0.0 if share == 0 else float(low), 1.0 if share == 1 else float(high)
