"""The network that is audited, asked again about altered pictures; its lungs stay those of the pictures themselves."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from ml_collections import ConfigDict

from cxrjax.data import batch
from cxrjax.inference import inputs, pipeline
from cxrjax.models import from_config, registry, spec
from cxrjax.ops import voting
from cxrjax.runs import run_dir


class AuditedModel:
    """The classifier of a run; where several networks vote together, the best of them alone."""

    def __init__(self, workdir: Path, config: ConfigDict, patches: int):
        """Load it.

        Args:
            workdir: the run.
            config: its settings.
            patches: N, patches that vote, at most as many as in the run itself.
        """
        self._variables = run_dir.load_networks(workdir, config)["classifier"]
        self._classifier = from_config.classifier(config)
        self._settings = from_config.inference_config(config, min(patches, config.patches.count))
        self._seed, self._batch = config.seed, config.evaluation.batch_size

    @property
    def patches(self) -> int:
        """N, patches that vote."""
        return self._settings.patch_count

    @property
    def needs_lungs(self) -> bool:
        """Whether there is no finding without lungs."""
        return self._settings.needs_lungs

    def ask(self, images: np.ndarray, lungs: np.ndarray, image_ids: np.ndarray) -> voting.VoteResult:
        """Return the votes on radiographs uint8 [n, S, S], with lungs bool [n, S, S] that are certain.

        `image_ids` are those of the radiographs before they were altered (`batch.Split`): the same patches are drawn.
        """
        keys = pipeline.image_keys(self._seed, image_ids)
        parts = []
        for rows, count in batch.padded_batches(len(images), self._batch):
            vote = _vote(self._classifier, self._settings, self._variables, images[rows], lungs[rows], keys[rows])
            parts.append(jax.tree.map(lambda x, count=count: np.asarray(x)[:count], vote))
        return jax.tree.map(lambda *each: np.concatenate(each), *parts)


@partial(jax.jit, static_argnames=("classifier", "settings"))
def _vote(
    classifier: spec.ModelSpec, settings: spec.InferenceConfig, variables: Any, images: Array, lungs: Array, keys: Array
) -> voting.VoteResult:
    def count(_: Array, looks: inputs.PatchPredictions) -> voting.VoteResult:
        return voting.count_votes(looks.logits, settings.voting_rule, looks.valid)

    radiographs = (images, lungs, jnp.ones(len(images)), keys)
    return pipeline.predict_each(classifier, registry.precompute_kernels(variables), radiographs, settings, count)
