"""The one training loop: resume, phases, early stopping, checkpoints, metrics, progress.

What a step does depends on the seed and the number of the step alone, and what an epoch's end does on the state
alone; so a run that is killed and started again ends bit for bit as one that was not.
"""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict
from tensorboardX import SummaryWriter
from tqdm import tqdm

from cxrjax import plotting
from cxrjax.data import dataset
from cxrjax.data.loader import make_loader
from cxrjax.data.sampler import BatchSampler, Mixture
from cxrjax.inference.lung_segmenter import LungSegmenter
from cxrjax.io import json_file
from cxrjax.runs import history, label_counts, run_dir, weights
from cxrjax.runs.checkpoints import Checkpoints, snapshot
from cxrjax.runtime import lock, malloc, multihost, signals
from cxrjax.runtime.sharding import BatchSharding
from cxrjax.training import classification, model_selection, param_groups, schedules, segmentation, train_step
from cxrjax.training.task import Task
from cxrjax.training.train_step import TrainState

_GRACE = 300.0  # seconds after a signal for the running step and the save; a second signal ends the process sooner


class DivergedError(Exception):
    """The loss is no longer a number."""


def train(config: ConfigDict, workdir: Path) -> dict[str, float]:
    """Train the network of a config in a run directory, or go on with one that was stopped.

    On SIGINT or SIGTERM, inside `signals.handled`, the state after the running step is saved.

    Args:
        config: see `configs/base.py`.
        workdir: the run directory.

    Returns:
        The record of the best epoch, as in metrics.jsonl.

    Raises:
        UnfitRun, MissingData, Diverged, and of `config.init` UnreadableWeights, UnfitWeights: see there.
        Locked: another process trains there.
        ValueError: a setting that does not fit the others.
        signals.Interrupted: a signal came, and the state is saved.
    """
    with _alone_in(workdir):
        return _train(config, workdir)


def _train(config: ConfigDict, workdir: Path) -> dict[str, float]:
    multihost.primary_first(lambda: _start(config, workdir))
    training = Trainer(config, build_task(config, workdir))
    if not config.training.metric:
        raise ValueError("training.metric is empty: name the metric of validation by which an epoch is the best")
    metric = f"val/{config.training.metric}"
    with Checkpoints(workdir / "checkpoints", clean=True) as checkpoints:
        state = training.begin(checkpoints.step("last") or 0)
        if checkpoints.step("last") is not None:
            state = checkpoints.restore("last", state)
        past = history.resume(workdir / history.METRICS, int(state.step))
        done = int(state.step)
        with (
            signals.deferred(_GRACE) as stopping,
            SummaryWriter(str(workdir), purge_step=done + 1, write_to_disk=multihost.is_primary()) as board,
            tqdm(
                total=training.total,
                initial=done,
                desc=f"training {config.task}",
                unit="step",
                disable=not multihost.is_primary(),
            ) as bar,
        ):
            saved, stale = time.monotonic(), int(state.stale)
            for number in range(done, training.total):
                if stale >= config.training.patience:
                    break
                state = training.step(state, number)
                bar.update()
                stopped = multihost.any_process(stopping())
                if (number + 1) % training.order.steps == 0:
                    state, epoch = _end_epoch(state, training, checkpoints)
                    stale = int(state.stale)
                    past.append(epoch)
                    if multihost.is_primary():
                        history.record(workdir / history.METRICS, epoch, board)
                    checkpoints.save("last", number + 1, state)
                    saved = time.monotonic()
                    bar.set_postfix({config.training.metric: f"{epoch[metric]:.4f}"})
                elif stopped or multihost.broadcast_bool(
                    time.monotonic() - saved > 60 * config.training.checkpoint_minutes
                ):
                    checkpoints.save("last", number + 1, state)
                    saved = time.monotonic()
                if stopped:  # of several processes, all end where one was asked to
                    raise signals.Interrupted(signals.received() or signal.SIGTERM)
    if not past:
        raise json_file.DamagedFile(
            workdir / history.METRICS,
            "it has no record of the epochs that were trained",
            "the network is whole, and can be evaluated; for the record, restore the file or train again",
        )
    plotting.draw_learning_curves(past, workdir / "learning_curves.png", metric)
    return model_selection.best_epoch(past, metric)


@contextmanager
def _alone_in(workdir: Path) -> Iterator[None]:
    """Let no other process train in a run directory; of several that train together, the first holds the lock.

    Raises:
        lock.Locked: one does.
    """
    error = None
    with ExitStack() as held:
        if multihost.is_primary():
            workdir.mkdir(parents=True, exist_ok=True)
            try:
                held.enter_context(lock.hold(workdir, "trained"))
            except OSError as cause:
                error = cause
        if multihost.broadcast_bool(error is not None):
            raise error or lock.Locked(f"{workdir}: the first process cannot train here, and says why")
        yield


def setup_workdir(config: ConfigDict, workdir: Path) -> None:
    """Make the run directory and, of a classifier, put its segmenter, if any, there.

    Raises:
        UnfitSetting, UnfitRun: see `runs`.
    """
    run_dir.check(config)
    workdir.mkdir(parents=True, exist_ok=True)
    if config.task == "classify":
        run_dir.copy_segmenter(workdir, config)


def _start(config: ConfigDict, workdir: Path) -> None:
    run_dir.check(config)
    run_dir.give_up_unstarted(workdir, config)
    setup_workdir(config, workdir)
    run_dir.create_or_resume(workdir, config)


def build_task(config: ConfigDict, workdir: Path) -> Task:
    """The task of a config, its data loaded; of a classifier, the run keeps the labels it learns from."""
    names = (config.data.train, config.data.validation)
    both = set(names[0].split("+")) & set(names[1].split("+"))
    if both:
        raise ValueError(f"the split {both.pop()!r} is in data.train and in data.validation")
    if config.task == "segment":
        return segmentation.build(config, *(dataset.open_split(config, name) for name in names))
    splits = [dataset.load_or_stream(config, name) for name in names]
    label_counts.save(workdir, splits[0].sources, splits[0].labels)
    finder = LungSegmenter(config, run_dir.load_segmenter(workdir / run_dir.SEGMENTER, config), workdir / run_dir.LUNGS)
    return classification.build(config, *splits, finder)


class Trainer:
    """A task with the order of its data and its steps, of whichever phase, each compiled once."""

    def __init__(self, config: ConfigDict, task: Task):
        """Lay the training down.

        Raises:
            ValueError: a setting that does not fit the others.
        """
        c = config.training
        self.config, self.task = config, task._replace(data=None)  # they are where the supply has put them
        self.order = _order(config, task)
        self.total = self.order.steps * c.epochs
        if c.epochs % c.cycles:
            raise ValueError(f"training.epochs={c.epochs} are not {c.cycles} cycles of whole epochs")
        self.phases = param_groups.plan_phases(
            [tuple(group) for group in c.groups], c.unfreeze_epoch * self.order.steps, c.unfreeze_factor
        )
        self._shares = BatchSharding(c.batch_size)
        self.supply = make_loader(task.data, self.order, self._shares, config.data.readers)
        self._steps: dict[int, Callable[..., TrainState]] = {}  # by the first step of the phase
        self._under_way: Array | None = None  # the number of the step that was handed to the devices last

    def begin(self, step: int) -> TrainState:
        """The state before the first step, in the form that it has before step number `step`."""
        optimiser = train_step.build_optimizer(self.config, self.total, param_groups.phase_at(self.phases, step))
        key = jax.random.key(self.config.seed)
        variables = weights.load_init(self.config, key) if self.config.init and not step else self.task.init(key)
        return self._shares.replicate(train_step.init_state(variables, optimiser, self.config))

    def step(self, state: TrainState, number: int) -> TrainState:
        """The state after step number `number`, counted from 0."""
        phase, given = param_groups.phase_at(self.phases, number), self.supply.give(number)
        self._wait(state)
        if phase.first not in self._steps:
            rate = train_step.lr_schedule(self.config, self.total, phase)
            self._steps[phase.first] = self.compile(phase, rate, state, given)
        return self._steps[phase.first](state, given)

    def _wait(self, state: TrainState) -> None:
        """Wait until no more than one step is under way, so that no batches pile up.

        On a CPU until none is: a step that waits there has its memory already. An accelerator is handed the next step
        while it does one, or it would be idle for as long as that takes. A state is given away to the step after it, so
        what is waited for is a copy of its number.
        """
        if jax.default_backend() == "cpu":
            jax.block_until_ready(state)
            return
        before = self._under_way
        self._under_way = jnp.copy(state.step)
        jax.block_until_ready(before)

    def compile(
        self, phase: param_groups.TrainingPhase, rate: Callable[[Array, Array], Array], state: TrainState, given: Any
    ) -> Callable[[TrainState, Any], TrainState]:
        """The step (state, what the supply gives) of a phase, at any rate by step, for arguments like these.

        See `train_step.make_step`. What the compiler took of memory, more than a step does, is not kept.
        """
        optimiser = train_step.build_optimizer(self.config, self.total, phase)
        step = train_step.make_train_step(self.task, optimiser, rate, phase, self.config, self.supply)
        lowered = step.lower(state, given)
        malloc.trim_heap()
        compiled = lowered.compile()
        malloc.trim_heap()
        return compiled

    def note(self, state: TrainState, **values: Any) -> TrainState:
        """A state with other values than it has, of the host."""
        return state._replace(**self._shares.replicate(values))

    def enter_phase(self, state: TrainState) -> TrainState:
        """The state before the next step; where that begins a phase, with the phase's own optimiser."""
        step = int(state.step)
        phase = param_groups.phase_at(self.phases, step)
        if not step or phase.first != step:
            return state
        optimiser = train_step.build_optimizer(self.config, self.total, phase)
        return self.note(state, optimiser=optimiser.init(jax.device_get(state.params)))

    def rate(self, state: TrainState) -> float:
        """The learning rate of the step that led to a state."""
        last = int(state.step) - 1
        rate = train_step.lr_schedule(self.config, self.total, param_groups.phase_at(self.phases, last))
        return float(rate(jnp.int32(last), jax.device_get(state.plateau.scale)))


def _order(config: ConfigDict, task: Task) -> BatchSampler:
    c = config.training
    classes = list(config.classifier.classes)
    strange = set(c.minority) - set(classes)
    if strange:
        raise ValueError(f"training.minority: {strange.pop()!r} is not among the classes {', '.join(classes)}")
    minority = [classes.index(name) for name in c.minority]
    mixture = Mixture(c.augment == "copies", c.augmented, c.unfreeze_epoch, c.unfreeze_augmented)
    return BatchSampler(task.groups, c.batch_size, c.sampling, config.seed, c.oversample, minority, mixture)


def _end_epoch(state: TrainState, training: Trainer, checkpoints: Checkpoints) -> tuple[TrainState, dict[str, float]]:
    """Validate, keep the network if it is strictly better than all before, and say what the next epoch begins with."""
    c, number = training.config.training, int(state.step)
    epoch = number // training.order.steps
    loss = float(state.loss_sum) / training.order.steps
    if not math.isfinite(loss):
        raise DivergedError(f"the loss is {loss} in epoch {epoch}; a lower training.learning_rate may help")
    variables = jax.device_get(train_step.eval_params(state))
    scores = training.task.validate(variables)
    best, stale, plateau = jax.device_get((state.best, state.stale, state.plateau))
    best, stale, better = model_selection.update_best(best, stale, model_selection.signed_metric(c.metric, scores))
    if better:
        checkpoints.save("best", number, variables)
    if c.cycles > 1 and not epoch % (c.epochs // c.cycles):
        checkpoints.save(snapshot(epoch * c.cycles // c.epochs), number, variables)
    known = {"train/loss": loss} | {f"val/{name}": value for name, value in scores.items()}
    record = {"step": number, "epoch": epoch, "learning_rate": training.rate(state)} | known
    if epoch <= c.unfreeze_epoch:
        stale = jnp.zeros_like(stale)  # no training stops before it has begun in earnest
    state = training.note(state, loss_sum=jnp.float32(0), best=best, stale=stale, plateau=_wait(plateau, known, c))
    return training.enter_phase(state), record


def _wait(plateau: schedules.PlateauState, known: dict[str, float], c: ConfigDict) -> schedules.PlateauState:
    """How the rate goes on, where it falls when validation does."""
    if c.schedule != "plateau":
        return plateau
    score = model_selection.signed_metric(c.plateau_metric or f"val/{c.metric}", known)
    return schedules.update_plateau(plateau, score, c.plateau_patience, c.factor, c.plateau_delta)
