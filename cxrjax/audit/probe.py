"""The probe network: a small network trained on whole perturbed images, to measure what can be learned from them.

It is independent of the audited network. All experiments use the same settings (`cxrjax/audit/config.py`), and the
modules of every other training.
"""

import math
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array

from cxrjax.audit.perturbations import Perturbation
from cxrjax.config import Config
from cxrjax.data.batch import RadiographBatch, padded_batches
from cxrjax.inference import inputs
from cxrjax.inference.lung_segmenter import LungSegmenter
from cxrjax.models import from_config, registry, spec
from cxrjax.ops import voting
from cxrjax.runtime import compile_notice
from cxrjax.runtime.progress import progress_bar
from cxrjax.training import classification, train_step
from cxrjax.training.trainer import DivergedError, Trainer

DOWNSAMPLE_BATCH = 32  # images that are downsampled at once
MIN_STEPS = 400  # training steps, also for few radiographs: by then a marker on two dozen of them is learned. Ours


class ProbeNetwork:
    """A trained probe network."""

    def __init__(self, config: Config, radiographs: RadiographBatch, seed: int | None = None, title: str = ""):
        """Train the network.

        Args:
            config: config of the probe network.
            radiographs: training radiographs, with images of the network's size.
            seed: seed of the training; None for that of the config.
            title: what the progress bar adds, such as ", 2 of 3".

        Raises:
            DivergedError: the loss is not finite.
        """
        # The validation of the task is not used: all experiments train for as long, and use the final network.
        steps_per_epoch = math.ceil(len(radiographs) / config.training.batch_size)
        epochs = max(config.training.epochs, math.ceil(MIN_STEPS / steps_per_epoch))
        config = replace(
            config,
            seed=config.seed if seed is None else seed,
            training=replace(config.training, epochs=epochs),
        )
        segmenter = LungSegmenter(config, None)
        trainer = Trainer(config, classification.build(config, radiographs, radiographs, segmenter))
        state = trainer.init_state(0)
        activity = f"training the small network{title}"
        for number in progress_bar(range(trainer.total_steps), desc=activity, unit="step", leave=None):
            state = trainer.step(state, number)
        if not np.isfinite(float(state.loss_sum)):
            raise DivergedError("the loss of the audit's small network is no number; lower its learning rate")
        self._targets = config.classifier.targets
        self._network = from_config.classifier(config)
        self._variables = jax.device_put(jax.device_get(train_step.eval_params(state)))
        self._batch_size = config.evaluation.batch_size

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities float32 [n, K] of images uint8 [n, size, size]."""
        batches = [
            np.asarray(_predict(self._network, self._targets, self._variables, images[rows]))[:count]
            for rows, count in padded_batches(len(images), self._batch_size)
        ]
        return np.concatenate(batches)


def perturb(perturbation: Perturbation, images: np.ndarray, lungs: np.ndarray, batch_size: int) -> np.ndarray:
    """Apply a perturbation to images uint8 [n, S, S] with lung masks bool [n, S, S], in batches."""
    perturbed = np.empty_like(images)
    for rows, count in padded_batches(len(images), batch_size):
        perturbed[rows[:count]] = np.asarray(perturbation(images[rows], lungs[rows]))[:count]
    return perturbed


def downsample(images: np.ndarray, size: int) -> np.ndarray:
    """Downsample images uint8 [n, S, S] to uint8 [n, size, size]; returns them unchanged if S is `size`."""
    if images.shape[1] == size:
        return images
    small_images = np.empty((len(images), size, size), np.uint8)
    for rows, count in padded_batches(len(images), DOWNSAMPLE_BATCH):
        small_images[rows[:count]] = np.asarray(_downsample(images[rows], size))[:count]
    return small_images


def downsample_masks(masks: np.ndarray, size: int) -> np.ndarray:
    """Downsample masks bool [n, S, S] to bool [n, size, size]; a pixel is set if more than half of it is covered."""
    return masks if masks.shape[1] == size else downsample(masks.astype(np.uint8) * 255, size) > 127


_downsample = partial(jax.jit, static_argnames="size")(inputs.downsample)


@compile_notice.describe_program("the small network of the audit")
@partial(jax.jit, static_argnames=("network", "targets"))
def _predict(network: spec.ModelSpec, targets: str, variables: Any, images: Array) -> Array:
    folded, x = inputs.prepare(network, variables, inputs.to_float(images))
    features = registry.extract_features(network.module, folded, x)
    return voting.patch_probabilities(registry.apply_head(network.module, variables, features), targets)
