"""From the logits of a radiograph's patches to its finding (Oh et al. 2020, section II-C: majority voting)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

RULES = ("majority", "mean_probability")


class Vote(NamedTuple):
    """What the patches of one radiograph say together."""

    votes: Array  # int32 [K], patches whose most probable class it is
    probabilities: Array  # float32 [K], mean over the patches of the class probabilities; sums to 1
    finding: Array  # int32, index of the class voted for
    agreement: Array  # float32 in 0..1, share of the patches that voted for the finding


def count_votes(logits: Array, rule: str) -> Vote:
    """Count the votes of one radiograph's patches.

    Args:
        logits: float [N, K].
        rule: "majority": the class with most votes, a tie going to the higher mean probability; or "mean_probability":
            the class with the highest mean probability.

    Returns:
        The Vote.

    Raises:
        ValueError: no such rule.
    """
    votes = jax.nn.one_hot(logits.argmax(-1), logits.shape[-1], dtype=jnp.int32).sum(0)
    return decide(votes, jax.nn.softmax(logits.astype(jnp.float32)).mean(0), rule)


def decide(votes: Array, probabilities: Array, rule: str) -> Vote:
    """The Vote of votes int32 [K] and mean probabilities float32 [K] counted already; see `count_votes`."""
    if rule not in RULES:
        raise ValueError(f"no voting rule called {rule!r}; there are {', '.join(RULES)}")
    leading = votes == votes.max() if rule == "majority" else jnp.ones(votes.shape, bool)
    finding = jnp.where(leading, probabilities, -1.0).argmax().astype(jnp.int32)
    return Vote(votes, probabilities, finding, votes[finding] / votes.sum())
