"""The jitted training step and its state.

The result of a step depends only on the seed, the number of the step and the state.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from cxrjax.config import Config
from cxrjax.data.loader import Loader
from cxrjax.models.layers import batch_norm
from cxrjax.runtime import compile_notice
from cxrjax.training import optimizers, param_groups, schedules
from cxrjax.training.param_groups import TrainingPhase
from cxrjax.training.remedies import hooks
from cxrjax.training.schedules import PlateauState
from cxrjax.training.task import Task


class TrainState(NamedTuple):
    """State of a training, as it is saved in checkpoints."""

    params: Any
    batch_stats: Any
    opt_state: Any  # its structure depends on the phase
    step: Array  # int32, number of steps done
    loss_sum: Array  # float32, sum of the losses of the steps of this epoch
    ema_params: Any  # exponential moving average of params and batch_stats; {} without training.ema_decay
    best_metric: Array  # float32, best `signed_metric` of validation so far; higher is better
    epochs_since_best: Array  # int32
    plateau: PlateauState


# Field -> its name in checkpoints of earlier versions.
FORMER_FIELDS = {
    "opt_state": "optimiser",
    "ema_params": "mean",
    "best_metric": "best",
    "epochs_since_best": "stale",
}


def init_state(variables: Any, optimizer: optax.GradientTransformation, config: Config) -> TrainState:
    """Return the state before the first step.

    Args:
        variables: {"params", "batch_stats"} of the network.
        optimizer: optimizer of the first phase.
        config: config of the run.
    """
    return TrainState(
        params=variables["params"],
        batch_stats=variables["batch_stats"],
        opt_state=jax.jit(optimizer.init)(variables["params"]),  # one program, not one per parameter
        step=jnp.int32(0),
        loss_sum=jnp.float32(0),
        ema_params=jax.tree.map(jnp.copy, dict(variables)) if config.training.ema_decay else {},
        best_metric=jnp.float32(-jnp.inf),
        epochs_since_best=jnp.int32(0),
        plateau=schedules.init_plateau(),
    )


def eval_params(state: TrainState) -> dict[str, Any]:
    """Return the network's weights for evaluation, {"params", "batch_stats"}: their moving average if there is one."""
    variables = state.ema_params or {"params": state.params, "batch_stats": state.batch_stats}
    return hooks.split(variables)[0]


def lr_schedule(config: Config, total_steps: int, phase: TrainingPhase) -> Callable[[Array, Array], Array]:
    """Return the learning rate in a phase as a function (step, scale of the plateau) -> learning rate.

    Args:
        config: config of the run.
        total_steps: number of steps of the whole training.
        phase: phase of the training.
    """
    c = config.training
    schedule = schedules.build_schedule(
        c.schedule,
        peak=c.learning_rate,
        total_steps=total_steps,
        warmup_steps=round(c.warmup_fraction * total_steps),
        milestones=c.milestones,
        lr_factor=c.lr_factor,
        cycles=c.cycles,
        one_cycle=c.one_cycle,
    )
    min_lr = c.min_lr if c.schedule == "plateau" else 0.0
    return lambda step, scale: jnp.maximum(schedule(step) * scale * phase.lr_scale, min_lr)


def build_optimizer(config: Config, total_steps: int, phase: TrainingPhase) -> optax.GradientTransformation:
    """Return the optimizer of a phase.

    Args:
        config: config of the run.
        total_steps: number of steps of the whole training.
        phase: phase of the training.
    """
    b1 = config.optimizer.b1
    b1_schedule = None
    if config.training.schedule == "one_cycle":
        cycle = schedules.build_one_cycle(b1, config.training.b1_at_peak, b1, total_steps, config.training.one_cycle[0])
        # The optimizer of a phase counts the steps of that phase.
        b1_schedule = partial(lambda count, start: cycle(start + count), start=phase.start_step)
    optimizer = optimizers.build_optimizer(config.optimizer, b1_schedule)
    return param_groups.apply_param_groups(optimizer, phase.param_groups)


class CompiledStep(NamedTuple):
    """The compiled step of a phase: (state, batch) -> state; see `make_train_step`."""

    program: jax.stages.Compiled
    compute_inputs: Callable[[Array, Array], tuple[Array, Array]]  # (step, scale) -> learning rate and random key

    def __call__(self, state: TrainState, batch: Any) -> TrainState:
        """Return the state after the step."""
        return self.program(state, batch, *self.compute_inputs(state.step, state.plateau.scale))


def make_train_step(
    task: Task,
    optimizer: optax.GradientTransformation,
    phase: TrainingPhase,
    config: Config,
    loader: Loader,
) -> jax.stages.Wrapped:
    """Return the jitted step (state, batch of `loader.next_batch`, learning rate, random key) -> state.

    Each device processes its shard of the batch; the result is that of the whole batch. The learning rate and the key
    are computed by a program of their own: XLA would compile and compute a schedule again in the update of every
    parameter, and a step compiled with its seed would have to be compiled again for another one.

    Args:
        task: provides the loss.
        optimizer: optimizer of the phase.
        phase: phase of the training.
        config: config of the run.
        loader: provides the batches.
    """

    @compile_notice.describe_program("the training step")
    def step(state: TrainState, batch: Any, learning_rate: Array, key: Array) -> TrainState:
        loss_and_grad = jax.value_and_grad(task.loss, has_aux=True)
        with batch_norm.freeze_batch_stats(partial(param_groups.is_frozen, phase.param_groups)):
            (loss, batch_stats), gradients = loss_and_grad(state.params, state.batch_stats, loader.unpack(batch), key)
        direction, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = jax.tree.map(lambda weight, update: weight - learning_rate * update, state.params, direction)
        variables = {"params": params, "batch_stats": batch_stats}
        ema_params = {}
        if state.ema_params:
            ema_params = optimizers.update_ema(state.ema_params, variables, state.step, config.training.ema_decay)
        return state._replace(
            **variables,
            ema_params=ema_params,
            opt_state=opt_state,
            step=state.step + 1,
            loss_sum=state.loss_sum + loss,
        )

    replicated = loader.batch_sharding.replicated
    in_shardings = (replicated, loader.input_shardings, replicated, replicated)
    return jax.jit(step, donate_argnums=0, in_shardings=in_shardings, out_shardings=replicated)
