"""The training loop: phases, early stopping, checkpoints, metrics log, progress, and resuming.

The result of a step depends only on the seed and the step number, and that of an epoch's end only on the state;
therefore a run that is killed and resumed ends bit-identical to an uninterrupted one.
"""

import math
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cxrjax import plotting
from cxrjax.config import Config
from cxrjax.data import dataset
from cxrjax.data.loader import make_loader
from cxrjax.data.sampler import AugmentedSubset, BatchSampler
from cxrjax.inference.lung_segmenter import LungSegmenter
from cxrjax.io import json_file
from cxrjax.runs import class_names, dataset_record, history, run_dir, run_log, segmenter_copy, weights
from cxrjax.runs.checkpoints import Checkpoints, snapshot_tag
from cxrjax.runtime import compiler_options, lock, malloc, multihost, signals, terminal
from cxrjax.runtime.errors import CxrjaxError
from cxrjax.runtime.progress import progress_bar
from cxrjax.runtime.sharding import BatchSharding
from cxrjax.training import classification, label_record, model_selection, param_groups, segmentation, train_step
from cxrjax.training.remedies import hooks
from cxrjax.training.task import Task, Validation
from cxrjax.training.tracking import tracker_group
from cxrjax.training.train_step import TrainState

_GRACE_SECONDS = 300.0  # after a signal, for the running step and the save; a second signal ends the process sooner


class DivergedError(CxrjaxError):
    """The loss is not finite."""


def train(config: Config, workdir: Path) -> dict[str, float]:
    """Train the network of a config in a run directory, or resume a training that was stopped or is finished.

    A training is lengthened by a larger `training.epochs`. The steps done so far stay as they are, and the rule for the
    others is: they are the steps that a training of the new length would do next, from the state as it is.

    - "constant" and "plateau" do not depend on the length: the training ends as if it had been that long from the
      start. A plateau keeps its best score, its count of epochs and its reductions.
    - "steps", "cosine" and "one_cycle" are functions of the fraction of the new length that is done. The rate of a
      finished training therefore rises again, to that of the new schedule at this step. The warm-up and the milestones
      are fractions of the new length too.
    - "cosine" with cycles is lengthened by further cycles of the same length (`training.cycles`): the training ends as
      if all cycles had been planned from the start, each with its snapshot.
    - The moving average of the weights and the optimizer's state continue. The best network stays the best until an
      epoch is strictly better, and early stopping continues counting from it: a training that it has ended continues
      with a larger `training.patience` only.

    `run_dir.CHANGEABLE` lists the settings that may change.

    On SIGINT or SIGTERM, inside `signals.handled`, the state after the running step is saved.

    Args:
        config: see `cxrjax/config/__init__.py`.
        workdir: the run directory.

    Returns:
        The record of the best epoch, as in metrics.jsonl.

    Raises:
        RunError: the run directory does not fit the config.
        DatasetError: the data set is missing or does not fit the config.
        DivergedError: the loss is not finite.
        WeightFormatError, WeightMismatchError: the weights of `config.pretrained` cannot be read, or do not fit the
            network.
        Locked: another process trains in the directory.
        ValueError: two settings contradict each other, or there is no tracker of this name.
        MissingTrackerError: the package of a tracker is not installed.
        signals.Interrupted: a signal was received, and the state is saved.
    """
    tracker_group.check(config)
    with _exclusive(workdir):
        return _train(config, workdir)


def _train(config: Config, workdir: Path) -> dict[str, float]:
    config = multihost.primary_first(lambda: _start_or_resume(config, workdir))
    metric = model_selection.selection_metric(config)
    trainer = Trainer(config, build_task(config, workdir))
    if not metric and multihost.is_primary():
        run_log.announce(workdir, model_selection.WITHOUT_VALIDATION)
    with Checkpoints(workdir / "checkpoints", clean=True) as checkpoints:
        state = trainer.init_state(checkpoints.step("last") or 0)
        if checkpoints.step("last") is not None:
            state = checkpoints.restore("last", state, train_step.FORMER_FIELDS)
        records = history.resume(workdir / history.METRICS, int(state.step))
        start_step = int(state.step)
        if multihost.is_primary():
            run_log.record_start(workdir, start_step)
        with (
            signals.deferred(_GRACE_SECONDS) as stop_requested,
            tracker_group.open_trackers(config, workdir, start_step) as trackers,
            progress_bar(
                total=trainer.total_steps,
                initial=start_step,
                desc=f"training {config.task}",
                unit="step",
                disable=None if multihost.is_primary() else True,
            ) as progress,
        ):
            save_time = time.monotonic()
            epochs_since_best = int(state.epochs_since_best)
            for number in range(start_step, trainer.total_steps):
                if epochs_since_best >= config.training.patience:
                    if multihost.is_primary():
                        run_log.announce_early_stop(
                            workdir, number // trainer.sampler.steps_per_epoch, epochs_since_best
                        )
                    break
                state = trainer.step(state, number)
                progress.update()
                stopping = multihost.any_process(stop_requested())
                if (number + 1) % trainer.sampler.steps_per_epoch == 0:
                    state, record, images = _end_epoch(state, trainer, checkpoints)
                    epochs_since_best = int(state.epochs_since_best)
                    records.append(record)
                    if multihost.is_primary():
                        history.record(workdir / history.METRICS, record)
                        trackers.log_epoch(record, images)
                        line = run_log.format_epoch(record, config.training.epochs)
                        run_log.append(workdir, line)
                        if progress.disable:  # no one watches a bar
                            terminal.print_line(line, sys.stderr)
                    checkpoints.save("last", number + 1, state)
                    save_time = time.monotonic()
                    shown = metric or model_selection.TRAIN_LOSS
                    progress.set_postfix({shown.removeprefix("val/"): f"{record[shown]:.4f}"})
                elif stopping or multihost.broadcast_bool(
                    time.monotonic() - save_time > 60 * config.training.checkpoint_every_minutes
                ):
                    checkpoints.save("last", number + 1, state)
                    save_time = time.monotonic()
                if stopping and multihost.is_primary():
                    run_log.append(workdir, f"stopped by a signal after step {number + 1}, whose state is saved")
                if stopping:  # all processes end when one of them received a signal
                    raise signals.Interrupted(signals.received() or signal.SIGTERM)
    if not records:
        raise json_file.DamagedFileError(
            workdir / history.METRICS,
            "it has no record of the epochs that were trained",
            "the network is whole, and can be evaluated; for the record, restore the file or train again",
        )
    for form in ("png", "svg"):
        path = workdir / f"learning_curves.{form}"
        plotting.draw_learning_curves(records, path, metric or None, trainer.sampler.num_examples)
    return model_selection.best_epoch(records, metric)


@contextmanager
def _exclusive(workdir: Path) -> Iterator[None]:
    """Lock a run directory against training by other processes; of a multi-host training, the primary locks it.

    Raises:
        lock.LockedError: another process trains in the directory.
    """
    error = None
    with ExitStack() as stack:
        if multihost.is_primary():
            workdir.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(lock.acquire(workdir, "trained"))
            except OSError as cause:
                error = cause
        if multihost.broadcast_bool(error is not None):
            raise error or lock.LockedError(f"{workdir}: the first process cannot train here, and says why")
        yield


def setup_workdir(config: Config, workdir: Path) -> Config:
    """Create the run directory and, for a classifier with a segmenter, copy the segmenter into it.

    Returns:
        The config with the architecture of the segmenter, and with the classes of the data set where it names none.

    Raises:
        DatasetError: the config names no classes, and the data set has none to learn.
        RunError: the segmenter's run has no network, or does not fit the config.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    return segmenter_copy.copy_segmenter(workdir, class_names.resolve(config, workdir))


def _start_or_resume(config: Config, workdir: Path) -> Config:
    run_dir.remove_unstarted(workdir, config)
    dataset_record.check(workdir, config)
    config = setup_workdir(config, workdir)
    run_dir.create_or_resume(workdir, config)
    return config


def build_task(config: Config, workdir: Path) -> Task:
    """Load the data of a config and return its task; for a classifier, save the counts of the training labels.

    For a classifier, sentences on what the sources of the labels allow to learn are printed and logged.

    Raises:
        ValueError: a split is in the training and in the validation data.
        DatasetError: the data set is missing or does not fit the config.
    """
    shared = dataset.common_splits(config.data.train, config.data.validation)
    if shared:
        raise ValueError(f"the split {shared[0]!r} is in data.train and in data.validation")
    dataset_record.save(workdir, config)
    if config.task == "segment":
        train_data = dataset.open_split(config, config.data.train)
        validation_data = dataset.open_split(config, config.data.validation) if config.data.validation else None
        return segmentation.build(config, train_data, validation_data)
    train_data = dataset.load_or_stream(config, config.data.train)
    validation_data = dataset.load_or_stream(config, config.data.validation) if config.data.validation else None
    label_record.write(config, workdir, train_data)
    variables = run_dir.load_segmenter(workdir / run_dir.SEGMENTER, config)
    segmenter = LungSegmenter(config, variables, workdir / run_dir.LUNGS)
    return classification.build(config, train_data, validation_data, segmenter)


class Trainer:
    """A task with its loader and its training steps, one compiled step per phase."""

    def __init__(self, config: Config, task: Task):
        """Prepare the training and move its data to the devices.

        Raises:
            ValueError: two settings contradict each other.
        """
        c = config.training
        self.config = config
        self.task = task._replace(data=None)  # the loader holds the data
        self.sampler = _build_sampler(config, task)
        self.total_steps = self.sampler.steps_per_epoch * c.epochs
        if c.epochs % c.cycles:
            raise ValueError(f"training.epochs={c.epochs} are not {c.cycles} cycles of whole epochs")
        self.phases = param_groups.plan_phases(
            c.param_groups, c.unfreeze_epoch * self.sampler.steps_per_epoch, c.unfreeze_lr_scale
        )
        self._batch_sharding = BatchSharding(c.batch_size)
        self.loader = make_loader(task.data, self.sampler, self._batch_sharding, config.data.num_threads)
        self._compiled_steps: dict[int, train_step.CompiledStep] = {}  # by the first step of the phase
        self._step_in_flight: Array | None = None  # number of the step that was dispatched last

    def init_state(self, step: int) -> TrainState:
        """Return the state before the first step, with the structure that it has before step number `step`."""
        optimizer = train_step.build_optimizer(self.config, self.total_steps, param_groups.phase_at(self.phases, step))
        key = jax.random.key(self.config.seed)
        variables = weights.load_init(self.config, key) if self.config.pretrained and not step else self.task.init(key)
        variables = hooks.join(variables, self.task.remedy_variables)
        return self._batch_sharding.replicate(train_step.init_state(variables, optimizer, self.config))

    def step(self, state: TrainState, number: int) -> TrainState:
        """Return the state after step `number`, counted from 0."""
        phase = param_groups.phase_at(self.phases, number)
        batch = self.loader.next_batch(number)
        self._limit_steps_in_flight(state)
        if phase.start_step not in self._compiled_steps:
            learning_rate = train_step.lr_schedule(self.config, self.total_steps, phase)
            self._compiled_steps[phase.start_step] = self.compile_step(phase, learning_rate, state, batch)
        return self._compiled_steps[phase.start_step](state, batch)

    def _limit_steps_in_flight(self, state: TrainState) -> None:
        """Wait until at most one step is in flight, so that batches do not pile up in memory.

        On a CPU, wait until none is: a dispatched step allocates its memory while it waits. An accelerator gets the
        next step while it runs one, since it would be idle otherwise. The state is donated to the next step, therefore
        the wait is for a copy of its step number.
        """
        if jax.default_backend() == "cpu":
            jax.block_until_ready(state)
            return
        previous = self._step_in_flight
        self._step_in_flight = jnp.copy(state.step)
        jax.block_until_ready(previous)

    def compile_step(
        self,
        phase: param_groups.TrainingPhase,
        learning_rate: Callable[[Array, Array], Array],
        state: TrainState,
        batch: Any,
    ) -> train_step.CompiledStep:
        """Compile the step of a phase, and release the memory that the compiler took beyond that of a step.

        Args:
            phase: phase of the training.
            learning_rate: (step, scale of the plateau) -> learning rate.
            state: a state, for shapes and types.
            batch: a batch of the loader, for shapes and types.
        """
        optimizer = train_step.build_optimizer(self.config, self.total_steps, phase)
        step = train_step.make_train_step(self.task, optimizer, phase, self.config, self.loader)
        replicated = self._batch_sharding.replicated

        @partial(jax.jit, in_shardings=replicated, out_shardings=replicated)
        def compute_inputs(number: Array, plateau_scale: Array) -> tuple[Array, Array]:
            key = jax.random.fold_in(jax.random.key(self.config.seed), number)
            return learning_rate(number, plateau_scale), key

        lowered = step.lower(state, batch, *compute_inputs(state.step, state.plateau.scale))
        malloc.trim_heap()
        options = compiler_options.SEGMENTATION if self.config.task == "segment" else compiler_options.CLASSIFICATION
        compiled = lowered.compile(compiler_options=compiler_options.on_cpu(options))
        malloc.trim_heap()
        return train_step.CompiledStep(compiled, compute_inputs)

    def with_values(self, state: TrainState, **values: Any) -> TrainState:
        """Return a state with some fields replaced by host arrays."""
        return state._replace(**self._batch_sharding.replicate(values))

    def start_phase(self, state: TrainState) -> TrainState:
        """Return the state before the next step, with a new optimizer state if that step starts a phase."""
        step = int(state.step)
        phase = param_groups.phase_at(self.phases, step)
        if not step or phase.start_step != step:
            return state
        optimizer = train_step.build_optimizer(self.config, self.total_steps, phase)
        return self.with_values(state, opt_state=optimizer.init(jax.device_get(state.params)))

    def learning_rate(self, state: TrainState) -> float:
        """Return the learning rate of the step that led to a state."""
        last_step = int(state.step) - 1
        phase = param_groups.phase_at(self.phases, last_step)
        schedule = train_step.lr_schedule(self.config, self.total_steps, phase)
        return float(schedule(jnp.int32(last_step), jax.device_get(state.plateau.scale)))


def _build_sampler(config: Config, task: Task) -> BatchSampler:
    c = config.training
    classes = list(config.classifier.classes)
    unknown = set(c.minority_classes) - set(classes)
    if unknown:
        raise ValueError(f"training.minority_classes: {unknown.pop()!r} is not among the classes {', '.join(classes)}")
    return BatchSampler(
        task.sampling_labels,
        batch_size=c.batch_size,
        sampler=c.sampler,
        seed=config.seed,
        oversample_factor=c.oversample_factor,
        minority_classes=[classes.index(name) for name in c.minority_classes],
        augmented_subset=AugmentedSubset(
            copies_only=c.augment == "copies",
            probability=c.augment_probability,
            unfreeze_epoch=c.unfreeze_epoch,
            unfreeze_scale=c.unfreeze_augment_scale,
        ),
        probabilities=task.sampling_weights,
        draw_partners=task.draw_partners,
    )


def _end_epoch(
    state: TrainState, trainer: Trainer, checkpoints: Checkpoints
) -> tuple[TrainState, dict[str, float], Mapping[str, np.ndarray]]:
    """Validate at the end of an epoch, and save the network if it is strictly better than all before.

    Without validation, each network replaces the one before.

    Returns:
        The state before the next epoch, the record of this epoch for the metrics log, and the images of its validation.

    Raises:
        DivergedError: the loss is not finite.
    """
    c = trainer.config.training
    step = int(state.step)
    epoch = step // trainer.sampler.steps_per_epoch
    loss = float(state.loss_sum) / trainer.sampler.steps_per_epoch
    if not math.isfinite(loss):
        raise DivergedError(f"the loss is {loss} in epoch {epoch}; a lower training.learning_rate may help")
    variables = jax.device_get(train_step.eval_params(state))
    validation = trainer.task.validate(variables) if trainer.task.validate else Validation({})
    scores = validation.metrics
    score = model_selection.signed_metric(c.metric, scores) if scores else float(step)  # a later network is better
    best_metric, epochs_since_best, plateau = jax.device_get(
        (state.best_metric, state.epochs_since_best, state.plateau)
    )
    best_metric, epochs_since_best, improved = model_selection.update_best(best_metric, epochs_since_best, score)
    if improved:
        checkpoints.save("best", step, variables)
    if c.cycles > 1 and not epoch % (c.epochs // c.cycles):
        checkpoints.save(snapshot_tag(epoch * c.cycles // c.epochs), step, variables)
    metrics = {"train/loss": loss} | {f"val/{name}": value for name, value in scores.items()}
    record = {"step": step, "epoch": epoch, "learning_rate": trainer.learning_rate(state)} | metrics
    if epoch <= c.unfreeze_epoch:
        epochs_since_best = jnp.zeros_like(epochs_since_best)  # early stopping starts after unfreezing
    state = trainer.with_values(
        state,
        loss_sum=jnp.float32(0),
        best_metric=best_metric,
        epochs_since_best=epochs_since_best,
        plateau=model_selection.update_plateau(plateau, metrics, c),
    )
    return trainer.start_phase(state), record, validation.images
