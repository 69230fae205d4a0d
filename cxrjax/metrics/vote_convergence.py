"""Convergence of the majority vote with the number of patches, computed from the votes of all N patches."""

import numpy as np
from numpy.typing import NDArray

SIZES = (1, 2, 5, 10, 25, 50, 100)  # patches, up to the number there is, and then all


def vote_convergence(
    votes: NDArray[np.integer], probabilities: NDArray, truth: NDArray, sizes: tuple[int, ...] = SIZES,
    draws: int = 50, seed: int = 0,
) -> dict[int, dict[str, NDArray]]:  # fmt: skip
    """Draw n of the N votes of each radiograph, without replacement, and take their majority.

    A tie of all N is decided by the mean probability. A tie of fewer is decided at random, since the probabilities of
    single patches are not stored; the actual vote, which uses them, converges slightly faster.

    Args:
        votes: int [m, K]; N may differ between radiographs, and is 0 where no lungs were found.
        probabilities: [m, K], means over the N patches.
        truth: int [m].
        sizes: values of n; those above the maximal number of votes are replaced by that number. For a radiograph with
            fewer than n votes, all are taken.
        draws: number of draws for each radiograph and n.
        seed: random seed.

    Returns:
        For each n, means over the draws [m]: "stability", the frequency with which the majority of n is that of all N;
        "vote_fraction", the share of the n votes for it; "accuracy", the frequency with which it is the truth. For a
        radiograph without votes, accuracy is 0 and the other two are NaN.
    """
    rng = np.random.default_rng(seed)
    num_votes = votes.sum(1)
    voted = num_votes > 0
    tie_break = np.where(voted[:, None], probabilities, 0) / 2  # below 1, the difference of two unequal counts
    final = (votes + tie_break).argmax(1)
    most = int(num_votes.max())
    convergence = {}
    for size in sorted({*(n for n in sizes if n < most), most} - {0}):
        counts = _draw(rng, votes, np.where(voted, size, 0), draws)
        tie_breaks = np.where(size < num_votes[:, None], rng.random(counts.shape) / 2, tie_break)
        majority = (counts + tie_breaks).argmax(-1)
        convergence[size] = {
            "stability": np.where(voted, (majority == final).mean(0), np.nan),
            "vote_fraction": np.where(voted, counts.max(-1).mean(0) / np.clip(num_votes, 1, size), np.nan),
            "accuracy": np.where(voted, (majority == truth).mean(0), 0.0),
        }
    return convergence


def _draw(rng: np.random.Generator, votes: NDArray, size: NDArray, draws: int) -> NDArray:
    """Draw `size` [m] votes from each row: counts [draws, m, K], multivariate hypergeometric, class by class."""
    size = np.minimum(size, votes.sum(1))
    num_other = votes.sum(1)
    num_remaining = np.broadcast_to(size, (draws, len(votes)))
    counts = []
    for class_votes in votes.T:
        num_other = num_other - class_votes
        counts.append(rng.hypergeometric(class_votes, num_other, num_remaining))
        num_remaining = num_remaining - counts[-1]
    return np.stack(counts, -1)
