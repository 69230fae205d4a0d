"""The audited network, applied to altered images; the lung masks remain those of the unaltered images."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cxrjax.config import Config
from cxrjax.data.batch import padded_batches
from cxrjax.inference import inputs, pipeline
from cxrjax.models import from_config, spec
from cxrjax.ops import voting
from cxrjax.runs import run_dir
from cxrjax.runtime import compile_notice
from cxrjax.runtime.progress import progress_bar


class AuditedModel:
    """The classifier of a run; for an ensemble, its best network alone."""

    def __init__(self, workdir: Path, config: Config, num_patches: int, outputs: Sequence[int]):
        """Load the classifier.

        Args:
            workdir: the run directory.
            config: config of the run.
            num_patches: N, number of voting patches; limited to that of the run.
            outputs: indices of the classes or findings whose votes are returned; of classes, all.
        """
        self._variables = run_dir.load_networks(workdir, config)["classifier"]
        self._classifier = from_config.classifier(config)
        self._settings = from_config.inference_config(config, min(num_patches, config.patches.count))
        self._outputs = list(outputs)
        self._selects = len(self._outputs) < len(config.classifier.classes)
        self._seed = config.seed
        self._batch_size = config.evaluation.batch_size

    @property
    def num_patches(self) -> int:
        """N, number of voting patches."""
        return self._settings.num_patches

    @property
    def requires_segmentation(self) -> bool:
        """Return whether a prediction requires a lung mask."""
        return self._settings.requires_segmentation

    def predict(self, images: np.ndarray, lungs: np.ndarray, image_ids: np.ndarray) -> voting.VoteResult:
        """Return the votes on radiographs; their lung masks count as certain.

        Args:
            images: uint8 [n, S, S].
            lungs: bool [n, S, S].
            image_ids: uint32 [n], of the unaltered radiographs (`RadiographBatch`), so that the same patches are drawn.
        """
        keys = pipeline.image_keys(self._seed, image_ids)
        batch_votes = []
        batches = list(padded_batches(len(images), self._batch_size))
        for rows, count in progress_bar(batches, desc="predicting", unit="batch", leave=None):
            votes = _vote(self._classifier, self._settings, self._variables, images[rows], lungs[rows], keys[rows])
            batch_votes.append(jax.tree.map(lambda x, count=count: np.asarray(x)[:count], votes))
        votes = jax.tree.map(lambda *leaves: np.concatenate(leaves), *batch_votes)
        if not self._selects:
            return votes
        probabilities = votes.probabilities[:, self._outputs]
        return votes._replace(
            votes=votes.votes[:, self._outputs], probabilities=probabilities, label=probabilities.argmax(1)
        )


@compile_notice.describe_program("the audited classifier")
@partial(jax.jit, static_argnames=("classifier", "settings"))
def _vote(
    classifier: spec.ModelSpec, settings: spec.InferenceConfig, variables: Any, images: Array, lungs: Array, keys: Array
) -> voting.VoteResult:
    radiographs = inputs.SegmentedRadiograph(images, lungs, jnp.ones(len(images)), keys)
    return pipeline.vote_each(classifier, variables, radiographs, settings)
