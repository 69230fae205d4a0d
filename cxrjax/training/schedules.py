"""Learning rate schedules by step, and the reduction of the learning rate when validation reaches a plateau."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike

SCHEDULES = ("constant", "steps", "cosine", "one_cycle", "plateau")


def build_schedule(
    name: str,
    peak: float,
    total_steps: int,
    warmup_steps: int,
    milestones: Sequence[float],
    lr_factor: float,
    cycles: int,
    one_cycle: Sequence[float],
) -> optax.Schedule:
    """Return a learning rate schedule.

    Args:
        name: "constant", or "plateau", which is constant except for the reductions by `update_plateau`; "steps":
            `peak`, multiplied by `lr_factor` at each milestone; "cosine": half cosines down to zero; or "one_cycle":
            see `build_one_cycle`.
        peak: the highest learning rate.
        total_steps: number of steps of the whole training.
        warmup_steps: number of steps of a linear rise from zero, 0 for none; "one_cycle" has its own.
        milestones: fractions of the training, each in 0..1, at which "steps" reduces the rate.
        lr_factor: multiplier of "steps" at each milestone.
        cycles: number of cycles of "cosine", each starting at the peak (Loshchilov & Hutter 2017).
        one_cycle: fraction of the training in which "one_cycle" rises, and the divisors of the peak for its first and
            its last rate.

    Returns:
        step -> learning rate.

    Raises:
        ValueError: there is no such schedule, or there are several cycles and a warm-up.
    """
    if name not in SCHEDULES:
        raise ValueError(f"no schedule called {name!r}; there are {', '.join(SCHEDULES)}")
    if name == "one_cycle":
        rise, start_divisor, end_divisor = one_cycle
        return build_one_cycle(peak / start_divisor, peak, peak / end_divisor, total_steps, rise)
    if name == "cosine" and cycles > 1:
        if warmup_steps:
            raise ValueError("a cosine of several cycles begins at its peak: set training.warmup_fraction to 0")
        length = total_steps / cycles
        return lambda step: peak / 2 * (1 + jnp.cos(jnp.pi * (jnp.asarray(step) % length) / length))
    after_warmup = optax.constant_schedule(peak)
    if name == "steps":
        scales: dict[int, float] = {}  # milestones that round to the same step are multiplied
        for fraction in milestones:
            step = round(fraction * total_steps) - warmup_steps
            scales[step] = scales.get(step, 1.0) * lr_factor
        after_warmup = optax.piecewise_constant_schedule(peak, scales)
    elif name == "cosine":
        after_warmup = optax.cosine_decay_schedule(peak, max(total_steps - warmup_steps, 1))
    return optax.join_schedules([optax.linear_schedule(0, peak, warmup_steps), after_warmup], [warmup_steps])


def build_one_cycle(start: float, peak: float, end: float, total_steps: int, rise: float) -> optax.Schedule:
    """Return a schedule of half a cosine from start to peak and half a cosine from peak to end.

    Smith & Topin 2018 in the form of fastai's `fit_one_cycle`; for momentum, the peak is the lowest value.

    Args:
        start: value at step 0.
        peak: value after the rise.
        end: value at the last step.
        total_steps: number of steps of the whole training.
        rise: fraction of the steps from start to peak.
    """

    def value(step: ArrayLike) -> Array:
        progress = jnp.asarray(step) / total_steps
        rise_progress = progress / rise
        fall_progress = (progress - rise) / (1 - rise)
        rising = start + (peak - start) * (1 - jnp.cos(jnp.pi * rise_progress)) / 2
        falling = peak + (end - peak) * (1 - jnp.cos(jnp.pi * jnp.minimum(fall_progress, 1))) / 2
        return jnp.where(progress < rise, rising, falling)

    return value


class PlateauState(NamedTuple):
    """State of the reduction of the learning rate on a plateau. Checkpoints contain the names of these fields."""

    scale: Array  # float32 in 0..1, multiplies the learning rate
    best: Array  # float32, best score so far; higher is better
    stale: Array  # int32, epochs since the best score, or since the last reduction


def init_plateau() -> PlateauState:
    """Return the state before the first epoch."""
    return PlateauState(jnp.float32(1), jnp.float32(-jnp.inf), jnp.int32(0))


def update_plateau(plateau: PlateauState, score: float, patience: int, factor: float, delta: float) -> PlateauState:
    """Return the state after an epoch, as Keras's `ReduceLROnPlateau` without cooldown.

    Args:
        plateau: state before the epoch.
        score: score of the epoch; higher is better.
        patience: number of epochs without a better score after which the learning rate is reduced.
        factor: multiplier of a reduction.
        delta: margin by which a better score must exceed the best one.
    """
    score = jnp.float32(score)
    improved = score > plateau.best + delta
    stale = jnp.where(improved, 0, plateau.stale + 1)
    reduce = stale >= patience
    return PlateauState(
        scale=jnp.where(reduce, plateau.scale * factor, plateau.scale).astype(jnp.float32),
        best=jnp.where(improved, score, plateau.best),
        stale=jnp.where(reduce, 0, stale).astype(jnp.int32),
    )
