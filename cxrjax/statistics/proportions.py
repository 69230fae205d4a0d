"""Proportions: how sure one is, and whether two on the same radiographs differ."""

import numpy as np
from scipy.special import bdtr, ndtri

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


def mcnemar(first_alone: int, second_alone: int) -> float:
    """The exact test of McNemar (1947): whether one of two raters is right more often, on the same radiographs.

    Args:
        first_alone: radiographs that the first alone got right.
        second_alone: that the second alone did.

    Returns:
        The two-sided p, 0..1, of a fair coin tossed for each; 1 where there is none. Radiographs count as independent.
    """
    fewer, discordant = min(first_alone, second_alone), first_alone + second_alone
    return min(1.0, 2 * float(bdtr(fewer, discordant, 0.5))) if discordant else 1.0  # the coin is fair: two equal tails
