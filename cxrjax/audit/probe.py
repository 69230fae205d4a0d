"""The small network: trained on whole pictures, as a control shows them, and asked what it finds.

It is not the network that is audited: it tells what can be learned from such pictures at all. Its settings are those of
`cxrjax/audit/config.py`, equal for all controls; its pieces are those of every training.
"""

import math
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array
from ml_collections import ConfigDict
from tqdm import tqdm

from cxrjax.audit.perturbations import Alteration
from cxrjax.data import batch as cohort
from cxrjax.inference import inputs
from cxrjax.inference.lung_segmenter import LungSegmenter
from cxrjax.models import from_config, spec
from cxrjax.training import classification, train_step, trainer

BATCH = 32  # pictures that are shrunk at once
STEPS = 400  # at least, however few the radiographs are: a mark on two dozen of them is learned by then. Ours


class ProbeNetwork:
    """A small network of a config, trained."""

    def __init__(self, config: ConfigDict, pictures: cohort.RadiographBatch, seed: int | None = None):
        """Train it on a split, whose images are of the network's size.

        Args:
            config: its settings.
            pictures: the split.
            seed: of its training; None for that of the config.

        Raises:
            train.Diverged: its loss is no number.
        """
        # The validation that a task brings is not asked for: every control trains as long, and its last network counts.
        config = config.copy_and_resolve_references()
        config.seed = config.seed if seed is None else seed
        epoch = math.ceil(len(pictures) / config.training.batch_size)
        config.training.epochs = max(config.training.epochs, math.ceil(STEPS / epoch))
        training = trainer.Trainer(
            config, classification.build(config, pictures, pictures, LungSegmenter(config, None))
        )
        state = training.init_state(0)
        for number in tqdm(range(training.total_steps), desc="training the small network", unit="step", delay=2):
            state = training.step(state, number)
        if not np.isfinite(float(state.loss_sum)):
            raise trainer.DivergedError("the loss of the audit's small network is no number; lower its learning rate")
        self._network = from_config.classifier(config)
        self._variables = jax.device_put(jax.device_get(train_step.eval_params(state)))
        self._batch = config.evaluation.batch_size

    def ask(self, images: np.ndarray) -> np.ndarray:
        """Probabilities float32 [n, K] of pictures uint8 [n, size, size]."""
        found = [
            np.asarray(_ask(self._network, self._variables, images[rows]))[:count]
            for rows, count in cohort.padded_batches(len(images), self._batch)
        ]
        return np.concatenate(found)


def alter(alteration: Alteration, images: np.ndarray, lungs: np.ndarray, batch: int) -> np.ndarray:
    """An alteration of pictures uint8 [n, S, S], `batch` of them at a time."""
    altered = np.empty_like(images)
    for rows, count in cohort.padded_batches(len(images), batch):
        altered[rows[:count]] = np.asarray(alteration(images[rows], lungs[rows]))[:count]
    return altered


def downsample(images: np.ndarray, size: int) -> np.ndarray:
    """Pictures uint8 [n, S, S] at a side of `size` pixels; as they are where that is theirs."""
    if images.shape[1] == size:
        return images
    small = np.empty((len(images), size, size), np.uint8)
    for rows, count in cohort.padded_batches(len(images), BATCH):
        small[rows[:count]] = np.asarray(_shrink(images[rows], size))[:count]
    return small


def downsample_masks(masks: np.ndarray, size: int) -> np.ndarray:
    """Masks bool [n, S, S] at a side of `size` pixels: what is covered for the greater part."""
    return masks if masks.shape[1] == size else downsample(masks.astype(np.uint8) * 255, size) > 127


_shrink = partial(jax.jit, static_argnames="size")(inputs.downsample)


@partial(jax.jit, static_argnames="network")
def _ask(network: spec.ModelSpec, variables: Any, images: Array) -> Array:
    x = inputs.normalize(inputs.to_float(images), network)
    return jax.nn.softmax(network.module.apply(variables, x, train=False))
