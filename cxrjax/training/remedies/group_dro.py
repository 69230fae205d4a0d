"""Group distributionally robust optimization: the worst (source, class) groups weigh most.

Sagawa et al. 2020, "Distributionally robust neural networks for group shifts", algorithm 1, with the adjustment for the
size of a group of section 3.3. The paper needs strong regularization (a large `optimizer.weight_decay` or few epochs):
without it every group is fitted, and the weights make no difference.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, Int32


def init_weights(group_counts: Int[np.ndarray, "groups"]) -> Float32[np.ndarray, "groups"]:
    """Return equal weights of the groups that have training radiographs, with the sum 1; 0 for the others."""
    present = group_counts > 0
    return (present / present.sum()).astype(np.float32)


def mean_by_group(
    losses: Float[Array, "n"], groups: Int32[Array, "n"], num_groups: int
) -> tuple[Float[Array, "{num_groups}"], Float[Array, "{num_groups}"]]:
    """Return the mean loss of each group in a batch, 0 where it has no example, and the number of its examples."""
    counts = jnp.zeros(num_groups).at[groups].add(1.0)
    return jnp.zeros(num_groups).at[groups].add(losses) / jnp.maximum(counts, 1), counts


def robust_loss(
    losses: Float[Array, "n"],
    groups: Int32[Array, "n"],
    weights: Float[Array, "groups"],
    group_counts: Int[np.ndarray, "groups"],
    step_size: float,
    adjustment: float,
) -> tuple[Float[Array, ""], Float[Array, "groups"]]:
    """Compute the weighted loss of the groups, and update their weights.

    Args:
        losses: loss of each example.
        groups: index of the group of each example.
        weights: weights of the groups before the step, with the sum 1.
        group_counts: number of training radiographs of each group.
        step_size: of the exponentiated gradient ascent of the weights.
        adjustment: C; the loss of a group of m radiographs is raised by C / sqrt(m) in the update of its weight.

    Returns:
        The loss, and the weights after the step.
    """
    means, batch_counts = mean_by_group(losses, groups, len(group_counts))
    raised = means + adjustment / np.sqrt(np.maximum(group_counts, 1))
    gain = jnp.where(batch_counts > 0, step_size * jax.lax.stop_gradient(raised), 0.0)
    updated = weights * jnp.exp(gain)
    updated = updated / updated.sum()
    return (updated * means).sum(), updated
