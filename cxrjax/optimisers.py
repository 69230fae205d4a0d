"""From settings to an optax optimiser."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import optax
from jax import Array

SCHEDULES = ("steps", "cosine")


def build_schedule(
    name: str, peak: float, total_steps: int, warmup_steps: int, milestones: Sequence[float], factor: float
) -> optax.Schedule:
    """Learning rate by step.

    Args:
        name: "steps": `peak`, times `factor` at each milestone; or "cosine": a half cosine down to zero.
        peak: learning rate after warm-up.
        total_steps: of the whole training.
        warmup_steps: of a linear rise from zero, 0 for none.
        milestones: shares of the training, each in 0..1, at which "steps" goes down.
        factor: what "steps" multiplies by.

    Returns:
        step -> learning rate.

    Raises:
        ValueError: no such schedule.
    """
    if name == "steps":
        after = optax.piecewise_constant_schedule(
            peak, {round(share * total_steps) - warmup_steps: factor for share in milestones}
        )
    elif name == "cosine":
        after = optax.cosine_decay_schedule(peak, max(total_steps - warmup_steps, 1))
    else:
        raise ValueError(f"no schedule called {name!r}; there are {', '.join(SCHEDULES)}")
    return optax.join_schedules([optax.linear_schedule(0, peak, warmup_steps), after], [warmup_steps])


def update_mean(mean: Any, now: Any, step: Array, decay: float) -> Any:
    """The running mean of weights over the steps of a training (Polyak averaging, exponential).

    Args:
        mean: pytree of the mean so far.
        now: pytree of the weights after this step.
        step: how many steps have gone before.
        decay: in 0..1, share of the mean that is kept; less in the first steps, so that the start is soon forgotten.

    Returns:
        The pytree of the new mean.
    """
    return optax.incremental_update(now, mean, 1 - jnp.minimum(decay, (1 + step) / (10 + step)))


def build_adam(schedule: optax.Schedule, decay: float) -> optax.GradientTransformation:
    """Adam with the decay added to the gradient, as PyTorch's `Adam(weight_decay=…)` of the originals (not AdamW)."""
    return optax.chain(optax.add_decayed_weights(decay), optax.adam(schedule))
