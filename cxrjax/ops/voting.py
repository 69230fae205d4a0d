"""From the logits of a radiograph's patches to its label (Oh et al. 2020, section II-C: majority voting).

`count_votes` is for one label per radiograph: a patch votes for its most probable class. `count_findings` is for
several findings at once: a patch votes yes or no on each. `count` chooses between them by `classifier.targets`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int32, Integer

from cxrjax.runtime.arrays import AnyArray

RULES = ("majority", "mean_probability")


class VoteResult(NamedTuple):
    """Aggregated votes of the patches of one radiograph, for k classes or k findings."""

    votes: Int32[Array, "k"]  # patches whose most probable class it is; of findings: whose probability is above 0.5
    probabilities: Float32[Array, "k"]  # mean over the patches; sums to 1, but for findings
    label: Int32[Array, ""]  # index of the winning class; of findings: the one that is most likely positive
    vote_fraction: Float32[Array, ""]  # in 0..1, fraction of the patches that voted for the label
    expected_entropy: Float32[Array, ""]  # in nats, mean entropy of the patches' own probabilities; of findings: summed
    mutual_information: Float32[Array, ""]  # in nats, entropy of `probabilities` minus `expected_entropy`
    num_patches: Int32[Array, ""] | None = None  # patches that vote; None for classes, whose votes sum to it


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


def count(
    logits: Float[AnyArray, "p k"], targets: str, rule: str, valid: Bool[AnyArray, "p"] | bool = True
) -> VoteResult:
    """Count the votes of one radiograph's patches by `count_votes` ("single" targets) or `count_findings` ("multi")."""
    return (count_findings if targets == "multi" else count_votes)(logits, rule, valid)


def count_findings(logits: Float[AnyArray, "p k"], rule: str, valid: Bool[AnyArray, "p"] | bool = True) -> VoteResult:
    """Count the votes of one radiograph's patches on several findings, each of which is positive or negative.

    Args:
        logits: logits of each patch and finding; above 0 the patch votes yes.
        rule: "majority" or "mean_probability": which number says how likely a finding is; see `find_positive`.
        valid: which of the patches vote, at least one; or whether all do.

    Returns:
        The `VoteResult`; its `label` is the finding with the highest of these numbers, positive or not.

    Raises:
        ValueError: no such rule.

    Examples:
        >>> import cxrjax as cx
        >>> result = cx.ops.count_findings(np.array([[2.0, -1.0], [1.0, 3.0], [0.5, -2.0]]), "majority")
        >>> result.votes.tolist(), int(result.num_patches)
        ([3, 1], 3)
    """
    voters = jnp.broadcast_to(valid, logits.shape[:1])
    votes = (jnp.asarray(logits) > 0).astype(jnp.int32).sum(0, where=voters[:, None])
    probabilities = jax.nn.sigmoid(logits.astype(jnp.float32))
    within = binary_entropy(probabilities).sum(-1).mean(0, where=voters)
    mean_probabilities = probabilities.mean(0, where=voters[:, None])
    return resolve_findings(votes, mean_probabilities, within, voters.sum(dtype=jnp.int32), rule)


def resolve_findings(
    votes: Int32[Array, "k"],
    probabilities: Float32[Array, "k"],
    expected_entropy: Float32[Array, ""],
    num_patches: Int32[Array, ""],
    rule: str,
) -> VoteResult:
    """Return the result of votes on findings that are counted already; see `count_findings` and `resolve_vote`."""
    if rule not in RULES:
        raise ValueError(f"no voting rule called {rule!r}; there are {', '.join(RULES)}")
    leading = votes == votes.max() if rule == "majority" else jnp.ones(votes.shape, bool)
    label = jnp.where(leading, probabilities, -1.0).argmax().astype(jnp.int32)
    between = jnp.maximum(binary_entropy(probabilities).sum(-1) - expected_entropy, 0)
    fraction = votes[label] / num_patches
    return VoteResult(votes, probabilities, label, fraction, expected_entropy, between, num_patches)


def find_positive(
    votes: Integer[AnyArray, "*n k"],
    probabilities: Float[AnyArray, "*n k"],
    num_patches: Integer[AnyArray, "*n"] | None,
    rule: str,
    thresholds: Float[np.ndarray, "k"] | None = None,
) -> Bool[np.ndarray, "*n k"]:
    """Return which findings are positive.

    A finding with a threshold is positive from that mean probability on. One without is positive, by the rule
    "majority", if more than half of the patches voted for it, or exactly half with a mean probability above 0.5; by
    "mean_probability", if its mean probability is above 0.5.
    """
    assert num_patches is not None  # of `count_findings`
    likely = np.asarray(probabilities) > 0.5
    positive = likely
    if rule != "mean_probability":
        doubled = 2 * np.asarray(votes)
        total = np.asarray(num_patches)[..., None]
        positive = (doubled > total) | ((doubled == total) & likely)
    if thresholds is None:
        return positive
    reached = np.asarray(probabilities, np.float32) >= thresholds.astype(np.float32)
    return np.where(np.isnan(thresholds), positive, reached)


def apply_thresholds(logits: Float[AnyArray, "*batch k"], thresholds: Sequence[float]) -> Float[Array, "*batch k"]:
    """Move the operating point of each finding to a logit of 0, which is a probability of 0.5.

    The probability p of a finding with the operating point t becomes p / 2t below t and 1 - (1 - p) / 2(1 - t) above
    it, as in torchxrayvision's `models.op_norm`, of whose networks these are the outputs.

    Args:
        logits: logits of the findings.
        thresholds: operating point of each finding, between 0 and 1; () leaves the logits as they are.

    Returns:
        Logits of the new probabilities.

    Examples:
        >>> round(float(jax.nn.sigmoid(apply_thresholds(np.array([0.0]), [0.8]))[0]), 4)
        0.3125
    """
    if not thresholds:
        return jnp.asarray(logits)
    point = jnp.asarray(thresholds, jnp.float32)
    is_below = logits < jnp.log(point) - jnp.log1p(-point)
    # Logarithm of the half of the new probability that is below 0.5, of yes below the operating point and of no above.
    smaller = jnp.where(
        is_below,
        jax.nn.log_sigmoid(logits) - jnp.log(2 * point),
        jax.nn.log_sigmoid(-logits) - jnp.log(2 * (1 - point)),
    )
    smaller = jnp.minimum(smaller, -jnp.log(2.0))  # above it by rounding alone
    magnitude = jnp.log1p(-jnp.exp(smaller)) - smaller
    return jnp.where(is_below, -magnitude, magnitude)


def patch_probabilities(logits: Float[AnyArray, "*batch k"], targets: str) -> Float[Array, "*batch k"]:
    """Return the probabilities of each patch: softmax over classes ("single"), or a sigmoid per finding ("multi")."""
    return jax.nn.sigmoid(logits) if targets == "multi" else jax.nn.softmax(logits)


def binary_entropy(probabilities: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """Compute the Shannon entropy of yes and no in nats, 0..log 2."""
    return jax.scipy.special.entr(probabilities) + jax.scipy.special.entr(1 - probabilities)


def entropy(probabilities: Float[Array, "*batch k"]) -> Float[Array, "*batch"]:
    """Compute the Shannon entropy in nats."""
    return jax.scipy.special.entr(probabilities).sum(-1)
