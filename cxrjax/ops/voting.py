"""From the logits of a radiograph's patches to its label (Oh et al. 2020, section II-C: majority voting)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

RULES = ("majority", "mean_probability")


class VoteResult(NamedTuple):
    """Aggregated votes of the patches of one radiograph."""

    votes: Array  # int32 [K], patches whose most probable class it is
    probabilities: Array  # float32 [K], mean over the patches of the class probabilities; sums to 1
    label: Array  # int32, index of the winning class
    vote_fraction: Array  # float32 in 0..1, fraction of the patches that voted for the label
    expected_entropy: Array  # float32 in nats, 0..log K, mean entropy of the patches' own class probabilities
    mutual_information: Array  # float32 in nats, 0..log K, entropy of `probabilities` minus `expected_entropy`


def count_votes(logits: Array, rule: str, valid: Array | bool = True) -> VoteResult:
    """Count the votes of one radiograph's patches.

    Args:
        logits: float [N, K].
        rule: "majority": the class with most votes, a tie going to the higher mean probability; or "mean_probability":
            the class with the highest mean probability.
        valid: bool [N], which of them vote, at least one; or whether all do.

    Returns:
        The `VoteResult`.

    Raises:
        ValueError: no such rule.

    Examples:
        >>> import cxrjax as cx
        >>> result = cx.ops.count_votes(np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]]), "majority")
        >>> result.votes.tolist()
        [2, 1]
    """
    voters = jnp.broadcast_to(valid, logits.shape[:1])
    votes = jax.nn.one_hot(logits.argmax(-1), logits.shape[-1], dtype=jnp.int32).sum(0, where=voters[:, None])
    probabilities = jax.nn.softmax(logits.astype(jnp.float32))
    within = entropy(probabilities).mean(0, where=voters)
    return resolve_vote(votes, probabilities.mean(0, where=voters[:, None]), within, rule)


def resolve_vote(votes: Array, probabilities: Array, expected_entropy: Array, rule: str) -> VoteResult:
    """Return the result of votes int32 [K], mean probabilities float32 [K] and their mean entropy, counted already.

    Entropy falls in two, as of any mean (Houlsby et al. 2011): within patches, and between them. See `count_votes`.
    """
    if rule not in RULES:
        raise ValueError(f"no voting rule called {rule!r}; there are {', '.join(RULES)}")
    leading = votes == votes.max() if rule == "majority" else jnp.ones(votes.shape, bool)
    label = jnp.where(leading, probabilities, -1.0).argmax().astype(jnp.int32)
    between = jnp.maximum(entropy(probabilities) - expected_entropy, 0)  # below 0 by rounding alone
    return VoteResult(votes, probabilities, label, votes[label] / votes.sum(), expected_entropy, between)


def entropy(probabilities: Array) -> Array:
    """Shannon entropy in nats: float [..., K] -> [...]."""
    return jax.scipy.special.entr(probabilities).sum(-1)
