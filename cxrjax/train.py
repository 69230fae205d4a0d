"""The one training loop: resume, early stopping, checkpoints, metrics, progress.

What a step does depends on the seed and the number of the step alone, and what an epoch's end does on the state
alone; so a run that is killed and started again ends bit for bit as one that was not.
"""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict
from tensorboardX import SummaryWriter
from tqdm import tqdm

from cxrjax import data, devices, exchange, figures, optimisers, runs, whole
from cxrjax.checkpoints import Checkpoints
from cxrjax.tasks import Task, classify, segment

METRICS = "metrics.jsonl"


class State(NamedTuple):
    """All that changes in training, and all that a checkpoint holds."""

    params: Any
    batch_stats: Any
    optimiser: Any
    step: Array  # int32, steps done
    loss_sum: Array  # float32, sum of the losses of this epoch's steps
    mean: Any  # running mean of params and batch_stats; {} without training.average
    best: Array  # float32, best score of validation so far
    stale: Array  # int32, epochs since then


class Diverged(Exception):
    """The loss is no longer a number."""


def train(config: ConfigDict, workdir: Path) -> dict[str, float]:
    """Train the network of a config in a run directory, or go on with one that was stopped.

    Args:
        config: see `configs/base.py`.
        workdir: the run directory.

    Returns:
        The record of the best epoch, as in metrics.jsonl.

    Raises:
        UnfitRun, MissingData, Diverged, and of `config.init` UnreadableWeights, UnfitWeights: see there.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    if config.task == "classify":
        runs.adopt_segmenter(workdir, config)
    runs.start(workdir, config)
    task = _build(config, workdir)
    order = _Order(task.groups, config)
    total = order.steps * config.training.epochs
    schedule = _schedule(config, total)
    optimiser = optimisers.build_adam(schedule, config.training.decay)
    mesh = devices.build_mesh(config.training.batch_size)
    everywhere = NamedSharding(mesh, PartitionSpec())
    step = _make_step(task, optimiser, config, mesh)
    held = jax.device_put(task.data, everywhere)
    state = jax.device_put(_begin(task.init(jax.random.key(config.seed)), optimiser, config), everywhere)
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        if checkpoints.step("last") is not None:
            state = checkpoints.restore("last", state)
        elif config.init:
            variables = exchange.load(config, jax.random.key(config.seed))
            state = jax.device_put(_begin(variables, optimiser, config), everywhere)
        history = _resume_history(workdir / METRICS, int(state.step))
        with (
            SummaryWriter(str(workdir), purge_step=int(state.step) + 1, write_to_disk=True) as board,
            tqdm(total=total, initial=int(state.step), desc=f"training {config.task}", unit="step") as bar,
        ):
            saved = time.monotonic()
            for number in range(int(state.step), total):
                if int(state.stale) >= config.training.patience:
                    break
                state = step(state, held, order.rows(number))
                bar.update()
                if (number + 1) % order.steps == 0:
                    state, record = _end_epoch(state, task, config, schedule, order.steps, checkpoints)
                    history.append(record)
                    _record(workdir / METRICS, record, board)
                    checkpoints.save("last", number + 1, state)
                    saved = time.monotonic()
                    bar.set_postfix({config.training.metric: f"{record['val/' + config.training.metric]:.4f}"})
                elif time.monotonic() - saved > 60 * config.training.checkpoint_minutes:
                    checkpoints.save("last", number + 1, state)
                    saved = time.monotonic()
    metric = f"val/{config.training.metric}"
    figures.draw_learning_curves(history, workdir / "learning_curves.png", metric)
    return max(history, key=lambda record: record[metric])


def _build(config: ConfigDict, workdir: Path) -> Task:
    size, gamma = config.image.size, config.image.gamma
    splits = [
        data.load(config.data.directory, split, size=size, gamma=gamma, readers=config.data.readers)
        for split in ("train", "val")
    ]
    if config.task == "segment":
        return segment.build(config, *splits)
    return classify.build(config, *splits, runs.load_segmenter(workdir / runs.SEGMENTER, config))


class _Order:
    """Which rows each step of the training sees."""

    def __init__(self, groups: np.ndarray, config: ConfigDict):
        self._draw = lambda epoch: data.draw_epoch(
            groups, config.training.batch_size, config.training.sampling, config.seed, epoch
        )
        self.steps = math.ceil(len(groups) / config.training.batch_size)
        self._epoch, self._rows = -1, np.empty(0)

    def rows(self, step: int) -> np.ndarray:
        """int32 [batch] of step number `step`, counted from 0 over the whole training."""
        epoch, within = divmod(step, self.steps)
        if epoch != self._epoch:
            self._epoch, self._rows = epoch, self._draw(epoch)
        return self._rows[within]


def _schedule(config: ConfigDict, total: int) -> optax.Schedule:
    c = config.training
    return optimisers.build_schedule(
        c.schedule, c.learning_rate, total, round(c.warmup * total), tuple(c.milestones), c.factor
    )


def _begin(variables: Any, optimiser: optax.GradientTransformation, config: ConfigDict) -> State:
    return State(
        params=variables["params"],
        batch_stats=variables["batch_stats"],
        optimiser=optimiser.init(variables["params"]),
        step=jnp.int32(0),
        loss_sum=jnp.float32(0),
        mean=jax.tree.map(jnp.copy, variables) if config.training.average else {},
        best=jnp.float32(-jnp.inf),
        stale=jnp.int32(0),
    )


def _make_step(
    task: Task, optimiser: optax.GradientTransformation, config: ConfigDict, mesh: Mesh
) -> Callable[..., State]:
    """One step, jitted over the mesh: each device takes its share of the batch, and the result is that of the whole."""

    def step(state: State, held: Any, rows: Array) -> State:
        key = jax.random.fold_in(jax.random.key(config.seed), state.step)
        gradient = jax.value_and_grad(task.loss, has_aux=True)
        (loss, batch_stats), gradients = gradient(state.params, state.batch_stats, held, rows, key)
        updates, new = optimiser.update(gradients, state.optimiser, state.params)
        now = {"params": optax.apply_updates(state.params, updates), "batch_stats": batch_stats}
        mean = optimisers.update_mean(state.mean, now, state.step, config.training.average) if state.mean else {}
        return state._replace(
            **now,
            mean=mean,
            optimiser=new,
            step=state.step + 1,
            loss_sum=state.loss_sum + loss,
        )

    everywhere, shared = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec(devices.AXIS))
    return jax.jit(step, donate_argnums=0, in_shardings=(everywhere, everywhere, shared), out_shardings=everywhere)


def _end_epoch(
    state: State, task: Task, config: ConfigDict, schedule: optax.Schedule, steps: int, checkpoints: Checkpoints
) -> tuple[State, dict[str, float]]:
    """Validate, and keep the network if it is strictly better than all before."""
    number = int(state.step)
    loss = float(state.loss_sum) / steps
    if not math.isfinite(loss):
        raise Diverged(f"the loss is {loss} in epoch {number // steps}; a lower training.learning_rate may help")
    variables = jax.device_get(state.mean or {"params": state.params, "batch_stats": state.batch_stats})
    scores = task.validate(variables)
    if config.training.metric not in scores:
        raise ValueError(f"training.metric {config.training.metric!r} is not among {', '.join(scores)}")
    score = jnp.float32(scores[config.training.metric])
    better = score > state.best
    if better:
        checkpoints.save("best", number, variables)
    record = {
        "step": number,
        "epoch": number // steps,
        "learning_rate": float(schedule(number - 1)),
        "train/loss": loss,
    }
    state = state._replace(
        loss_sum=jnp.float32(0),
        best=jnp.maximum(score, state.best),
        stale=jnp.where(better, 0, state.stale + 1).astype(jnp.int32),
    )
    return state, record | {f"val/{name}": value for name, value in scores.items()}


def _resume_history(path: Path, step: int) -> list[dict[str, float]]:
    """The records up to a step; those of epochs that a killed run could not save the state of are dropped."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:  # a line cut short by a kill
            break
    records = [record for record in records if record["step"] <= step]
    whole.write(path, "".join(json.dumps(record) + "\n" for record in records).encode())
    return records


def _record(path: Path, record: dict[str, float], board: SummaryWriter) -> None:
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")
    for name, value in record.items():
        board.add_scalar(name, value, record["step"])
