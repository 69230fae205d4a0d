"""How a finding settles as more patches vote by majority: from the votes of all N, what fewer would have said."""

import numpy as np
from numpy.typing import NDArray

SIZES = (1, 2, 5, 10, 25, 50, 100)  # patches, as far as there are so many, and then all there are


def vote_convergence(
    votes: NDArray[np.integer], probabilities: NDArray, truth: NDArray, sizes: tuple[int, ...] = SIZES,
    draws: int = 50, seed: int = 0,
) -> dict[int, dict[str, NDArray]]:  # fmt: skip
    """Draw n of each radiograph's N votes, without replacement, and take their majority.

    A tie of all N goes to the higher mean probability. One of fewer is drawn, for rows do not hold the probabilities of
    each patch; the vote itself, which knows them, settles a little sooner.

    Args:
        votes: [m, K], N of which a radiograph may have fewer than another; zeros where no lungs were found.
        probabilities: [m, K] mean over the N patches.
        truth: int [m].
        sizes: of n; those above the most votes a radiograph has are left out, and those most are added. Of one
            with fewer than n, all are taken.
        draws: for each radiograph and n.
        seed: of the draw.

    Returns:
        For each n, means over the draws [m]: "stability", how often the majority of n is that of all N; "agreement",
        the share of the n that voted for it; "accuracy", how often it is the truth, never of a radiograph without
        votes, whose other two are NaN.
    """
    rng, voted = np.random.default_rng(seed), votes.sum(1) > 0
    tie_break = np.where(voted[:, None], probabilities, 0) / 2  # below 1, which parts any two counts
    final, all_of_them = (votes + tie_break).argmax(1), votes.sum(1)[:, None]
    settled, most = {}, int(votes.sum(1).max())
    for size in sorted({*(n for n in sizes if n < most), most} - {0}):
        drawn = _draw(rng, votes, np.where(voted, size, 0), draws)
        lot = np.where(size < all_of_them, rng.random(drawn.shape) / 2, tie_break)
        majority = (drawn + lot).argmax(-1)
        settled[size] = {
            "stability": np.where(voted, (majority == final).mean(0), np.nan),
            "agreement": np.where(voted, drawn.max(-1).mean(0) / np.clip(all_of_them[:, 0], 1, size), np.nan),
            "accuracy": np.where(voted, (majority == truth).mean(0), 0.0),
        }
    return settled


def _draw(rng: np.random.Generator, votes: NDArray, size: NDArray, draws: int) -> NDArray:
    """Counts [draws, m, K] of `size` [m] votes drawn from each row: multivariate hypergeometric, class by class."""
    size = np.minimum(size, votes.sum(1))
    left, wanted = votes.sum(1), np.broadcast_to(size, (draws, len(votes)))
    counts = []
    for of_class in votes.T:
        left = left - of_class
        counts.append(rng.hypergeometric(of_class, left, wanted))
        wanted = wanted - counts[-1]
    return np.stack(counts, -1)
