"""One step of a training, compiled; and all that it changes.

What a step does depends on the seed, the number of the step and the state alone.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from ml_collections import ConfigDict

from cxrjax.data.loader import Loader
from cxrjax.models.layers import batch_norm
from cxrjax.training import optimizers, param_groups, schedules
from cxrjax.training.param_groups import TrainingPhase
from cxrjax.training.schedules import PlateauState
from cxrjax.training.task import Task


class TrainState(NamedTuple):
    """All that changes in training, and all that a checkpoint holds."""

    params: Any
    batch_stats: Any
    optimiser: Any  # its form is that of the phase
    step: Array  # int32, steps done
    loss_sum: Array  # float32, sum of the losses of this epoch's steps
    mean: Any  # running mean of params and batch_stats; {} without training.average
    best: Array  # float32, best score of validation so far; higher is better
    stale: Array  # int32, epochs since then
    plateau: PlateauState


def init_state(variables: Any, optimiser: optax.GradientTransformation, config: ConfigDict) -> TrainState:
    """The state before the first step, of the variables {"params", "batch_stats"}."""
    return TrainState(
        params=variables["params"],
        batch_stats=variables["batch_stats"],
        optimiser=optimiser.init(variables["params"]),
        step=jnp.int32(0),
        loss_sum=jnp.float32(0),
        mean=jax.tree.map(jnp.copy, dict(variables)) if config.training.average else {},
        best=jnp.float32(-jnp.inf),
        stale=jnp.int32(0),
        plateau=schedules.init_plateau(),
    )


def eval_params(state: TrainState) -> dict[str, Any]:
    """The weights to use, {"params", "batch_stats"}: their running mean where one is kept."""
    return state.mean or {"params": state.params, "batch_stats": state.batch_stats}


def lr_schedule(config: ConfigDict, total: int, phase: TrainingPhase) -> Callable[[Array, Array], Array]:
    """The learning rate in a phase of a training of `total` steps: (step, the plateau's scale) -> rate."""
    c = config.training
    schedule = schedules.build_schedule(
        c.schedule,
        c.learning_rate,
        total,
        round(c.warmup * total),
        tuple(c.milestones),
        c.factor,
        c.cycles,
        tuple(c.one_cycle),
    )
    lowest = c.lowest_rate if c.schedule == "plateau" else 0.0
    return lambda step, scale: jnp.maximum(schedule(step) * scale * phase.share, lowest)


def build_optimizer(config: ConfigDict, total: int, phase: TrainingPhase) -> optax.GradientTransformation:
    """The optimiser of a phase of a training of `total` steps."""
    c = config.training
    momentum = c.momentum
    if c.schedule == "one_cycle":
        cycle = schedules.build_one_cycle(c.momentum, c.momentum_at_peak, c.momentum, total, c.one_cycle[0])
        momentum = partial(lambda done, first: cycle(first + done), first=phase.first)  # it counts its own steps
    whole = optimizers.build_optimizer(
        c.optimiser, momentum, c.square_momentum, c.epsilon, c.decay, c.decay_vectors, c.clip
    )
    return param_groups.apply_param_groups(whole, phase.groups)


def make_train_step(
    task: Task,
    optimiser: optax.GradientTransformation,
    rate: Callable[[Array, Array], Array],
    phase: TrainingPhase,
    config: ConfigDict,
    supply: Loader,
) -> Callable[[TrainState, Any], TrainState]:
    """One step (state, what the supply gives), jitted over the devices.

    Each device takes its share of the batch, and the result is that of the whole.
    """

    def step(state: TrainState, given: Any) -> TrainState:
        key = jax.random.fold_in(jax.random.key(config.seed), state.step)
        gradient = jax.value_and_grad(task.loss, has_aux=True)
        with batch_norm.freeze_batch_stats(partial(param_groups.is_frozen, phase.groups)):
            (loss, batch_stats), gradients = gradient(state.params, state.batch_stats, supply.take(given), key)
        direction, new = optimiser.update(gradients, state.optimiser, state.params)
        now_rate = rate(state.step, state.plateau.scale)
        params = jax.tree.map(lambda weight, way: weight - now_rate * way, state.params, direction)
        now = {"params": params, "batch_stats": batch_stats}
        mean = optimizers.update_ema(state.mean, now, state.step, config.training.average) if state.mean else {}
        return state._replace(**now, mean=mean, optimiser=new, step=state.step + 1, loss_sum=state.loss_sum + loss)

    everywhere = supply.shares.everywhere
    return jax.jit(step, donate_argnums=0, in_shardings=(everywhere, supply.sharding), out_shardings=everywhere)
