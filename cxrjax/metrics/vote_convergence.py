"""Convergence of the majority vote with the number of patches, computed from the votes of all p patches."""

import numpy as np
from jaxtyping import Float, Int

SIZES = (1, 2, 5, 10, 25, 50, 100)  # patches, up to the number there is, and then all


def vote_convergence(
    votes: Int[np.ndarray, "n k"],
    probabilities: Float[np.ndarray, "n k"],
    truth: Int[np.ndarray, "n"],
    sizes: tuple[int, ...] = SIZES,
    draws: int = 50,
    seed: int = 0,
) -> dict[int, dict[str, Float[np.ndarray, "n"]]]:
    """Draw m of the p votes of each radiograph, without replacement, and take their majority.

    A tie of all p is decided by the mean probability. A tie of fewer is decided at random, since the probabilities of
    single patches are not stored; the actual vote, which uses them, converges slightly faster.

    Args:
        votes: counts by class; p may differ between radiographs, and is 0 where no lungs were found.
        probabilities: means over the p patches.
        truth: index of the true class.
        sizes: values of m; those above the maximal number of votes are replaced by that number. For a radiograph with
            fewer than m votes, all are taken.
        draws: number of draws for each radiograph and m.
        seed: random seed.

    Returns:
        For each m, means over the draws: "stability", the frequency with which the majority of m is that of all p;
        "vote_fraction", the share of the m votes for it; "accuracy", the frequency with which it is the truth. For a
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


def _draw(
    rng: np.random.Generator, votes: Int[np.ndarray, "n k"], size: Int[np.ndarray, "n"], draws: int
) -> Int[np.ndarray, "{draws} n k"]:
    """Draw `size` votes from each row and count them by class: multivariate hypergeometric, class by class."""
    size = np.minimum(size, votes.sum(1))
    num_other = votes.sum(1)
    num_remaining = np.broadcast_to(size, (draws, len(votes)))
    counts = []
    for class_votes in votes.T:
        num_other = num_other - class_votes
        counts.append(rng.hypergeometric(class_votes, num_other, num_remaining))
        num_remaining = num_remaining - counts[-1]
    return np.stack(counts, -1)
