"""From the logits of a radiograph's patches to its label (Oh et al. 2020, section II-C: majority voting)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, Int32

from cxrjax.runtime.arrays import AnyArray

RULES = ("majority", "mean_probability")


class VoteResult(NamedTuple):
    """Aggregated votes of the patches of one radiograph."""

    votes: Int32[Array, "k"]  # patches whose most probable class it is
    probabilities: Float32[Array, "k"]  # mean over the patches of the class probabilities; sums to 1
    label: Int32[Array, ""]  # index of the winning class
    vote_fraction: Float32[Array, ""]  # in 0..1, fraction of the patches that voted for the label
    expected_entropy: Float32[Array, ""]  # in nats, 0..log k, mean entropy of the patches' own class probabilities
    mutual_information: Float32[Array, ""]  # in nats, 0..log k, entropy of `probabilities` minus `expected_entropy`


def count_votes(logits: Float[AnyArray, "p k"], rule: str, valid: Bool[AnyArray, "p"] | bool = True) -> VoteResult:
    """Count the votes of one radiograph's patches.

    Args:
        logits: logits of each patch.
        rule: "majority": the class with most votes, a tie going to the higher mean probability; or "mean_probability":
            the class with the highest mean probability.
        valid: which of them vote, at least one; or whether all do.

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


def resolve_vote(
    votes: Int32[Array, "k"], probabilities: Float32[Array, "k"], expected_entropy: Float32[Array, ""], rule: str
) -> VoteResult:
    """Return the result of votes, mean probabilities and their mean entropy in nats, counted already.

    Entropy falls in two, as of any mean (Houlsby et al. 2011): within patches, and between them. See `count_votes`.
    """
    if rule not in RULES:
        raise ValueError(f"no voting rule called {rule!r}; there are {', '.join(RULES)}")
    leading = votes == votes.max() if rule == "majority" else jnp.ones(votes.shape, bool)
    label = jnp.where(leading, probabilities, -1.0).argmax().astype(jnp.int32)
    between = jnp.maximum(entropy(probabilities) - expected_entropy, 0)  # below 0 by rounding alone
    return VoteResult(votes, probabilities, label, votes[label] / votes.sum(), expected_entropy, between)


def entropy(probabilities: Float[Array, "*batch k"]) -> Float[Array, "*batch"]:
    """Compute the Shannon entropy in nats."""
    return jax.scipy.special.entr(probabilities).sum(-1)
