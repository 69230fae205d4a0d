"""The learning rate, by the number of the step; and by how validation goes, where it is to wait for a plateau."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import optax
from jax import Array

SCHEDULES = ("constant", "steps", "cosine", "one_cycle", "plateau")


def build_schedule(
    name: str,
    peak: float,
    total_steps: int,
    warmup_steps: int,
    milestones: Sequence[float],
    factor: float,
    cycles: int,
    one_cycle: tuple[float, float, float],
) -> optax.Schedule:
    """Learning rate by step.

    Args:
        name: "constant", or "plateau", which is constant but for what `update_plateau` does to it; "steps": `peak`,
            times `factor` at each milestone; "cosine": half cosines down to zero; or "one_cycle": see `one_cycle`.
        peak: the highest learning rate.
        total_steps: of the whole training.
        warmup_steps: of a linear rise from zero, 0 for none; "one_cycle" has its own.
        milestones: shares of the training, each in 0..1, at which "steps" goes down.
        factor: what "steps" multiplies by.
        cycles: of "cosine", each beginning at the peak anew (Loshchilov & Hutter 2017).
        one_cycle: share of the training in which "one_cycle" rises, and the peak divided by its first and last rate.

    Returns:
        step -> learning rate.

    Raises:
        ValueError: no such schedule, or cycles with a warm-up.
    """
    if name not in SCHEDULES:
        raise ValueError(f"no schedule called {name!r}; there are {', '.join(SCHEDULES)}")
    if name == "one_cycle":
        rise, start, end = one_cycle
        return build_one_cycle(peak / start, peak, peak / end, total_steps, rise)
    if name == "cosine" and cycles > 1:
        if warmup_steps:
            raise ValueError("a cosine of several cycles begins at its peak: set training.warmup to 0")
        length = total_steps / cycles
        return lambda step: peak / 2 * (1 + jnp.cos(jnp.pi * (step % length) / length))
    after = optax.constant_schedule(peak)
    if name == "steps":
        scales: dict[int, float] = {}  # milestones that round to one step fall together
        for share in milestones:
            step = round(share * total_steps) - warmup_steps
            scales[step] = scales.get(step, 1.0) * factor
        after = optax.piecewise_constant_schedule(peak, scales)
    elif name == "cosine":
        after = optax.cosine_decay_schedule(peak, max(total_steps - warmup_steps, 1))
    return optax.join_schedules([optax.linear_schedule(0, peak, warmup_steps), after], [warmup_steps])


def build_one_cycle(start: float, peak: float, end: float, total_steps: int, rise: float) -> optax.Schedule:
    """Half a cosine from start to peak over a share `rise` of the steps, and half a cosine from there to the end.

    Smith & Topin 2018 in the form of fastai's `fit_one_cycle`; of momentum, peak is the lowest.
    """

    def value(step: Array) -> Array:
        share = step / total_steps
        up, down = share / rise, (share - rise) / (1 - rise)
        rising = start + (peak - start) * (1 - jnp.cos(jnp.pi * up)) / 2
        falling = peak + (end - peak) * (1 - jnp.cos(jnp.pi * jnp.minimum(down, 1))) / 2
        return jnp.where(share < rise, rising, falling)

    return value


class PlateauState(NamedTuple):
    """How long a score has not risen, and what the learning rate is multiplied by therefore."""

    scale: Array  # float32 in 0..1
    best: Array  # float32, best score so far; higher is better
    stale: Array  # int32, epochs since then, or since the last fall of the rate


def init_plateau() -> PlateauState:
    """Before the first epoch."""
    return PlateauState(jnp.float32(1), jnp.float32(-jnp.inf), jnp.int32(0))


def update_plateau(plateau: PlateauState, score: float, patience: int, factor: float, delta: float) -> PlateauState:
    """After an epoch, as Keras's `ReduceLROnPlateau` without cooldown.

    Args:
        plateau: before it.
        score: of the epoch; higher is better.
        patience: epochs without a better score after which the rate falls.
        factor: what it is multiplied by then.
        delta: how much higher than the best a score must be to be better.
    """
    score = jnp.float32(score)
    better = score > plateau.best + delta
    stale = jnp.where(better, 0, plateau.stale + 1)
    falls = stale >= patience
    return PlateauState(
        scale=jnp.where(falls, plateau.scale * factor, plateau.scale).astype(jnp.float32),
        best=jnp.where(better, score, plateau.best),
        stale=jnp.where(falls, 0, stale).astype(jnp.int32),
    )
