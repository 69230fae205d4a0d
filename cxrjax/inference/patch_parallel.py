"""Radiographs that are fewer than the devices: their patches are shared, so that no device is idle.

Three programs and not one: a device that waits, within a program, for what another one makes holds one of XLA's
threads meanwhile.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from cxrjax.inference import pipeline
from cxrjax.inference.inputs import PatchPredictions
from cxrjax.inference.strategies import local_patches, patch_classifier
from cxrjax.models import registry
from cxrjax.models.spec import InferenceConfig, ModelSpec
from cxrjax.runtime import compilation_cache, sharding

ROOM = 2**30  # bytes that a classifier may take on all devices together


def count_devices(variables: Mapping[str, Any]) -> int:
    """The devices that the patches of few radiographs are shared between, by the classifier's variables.

    As many as have ROOM for it, its kernels transformed. One, but of a single process and a CPU, where all devices lie
    in one memory: elsewhere what goes from one to the others might take as long as it saves.
    """
    if jax.default_backend() != "cpu" or jax.process_count() > 1:
        return 1
    each = sum(
        leaf.size * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(jax.eval_shape(registry.precompute_kernels, variables))
    )
    return max(1, min(jax.device_count(), ROOM // each))


class PatchParallelPredictor:
    """`pipeline.diagnose` of batches of so many radiographs, every device classifying as many of their patches."""

    def __init__(
        self,
        segmenter: ModelSpec | None,
        classifier: ModelSpec,
        variables: Mapping[str, Any],
        settings: InferenceConfig,
        seed: int,
        batch_size: int,
        most: int,
        made_of: str,
    ):
        """Place the networks.

        Args:
            segmenter: see `pipeline.diagnose`.
            classifier: likewise.
            variables: likewise.
            settings: likewise.
            seed: that keys are made of.
            batch_size: radiographs.
            most: devices that classify, of each process.
            made_of: words that say all of this but the variables; see `compilation_cache.Recalled`.
        """
        self._count = settings.num_patches
        self._radiographs = sharding.BatchSharding(batch_size)
        self._patches = sharding.BatchSharding(batch_size * self._count, most)

        def draw(variables: Any, given: tuple[Array, Array]) -> tuple[pipeline.LungSegmentation, Array, Array]:
            images, checksums = given
            keys = pipeline.image_keys(seed, checksums)
            found = pipeline.segment_or_skip(segmenter, variables, images, settings)
            shown = (images, found.lung_mask, found.confidence, keys)
            sampled = lax.map(lambda one: local_patches.sample(classifier, *one, settings), shown)
            return found, sampled.centers, sampled.pixels

        def look(prepared: Any, crops: Array) -> tuple[Array, Array]:
            return patch_classifier.classify_patches(classifier, prepared, crops, settings)

        def conclude(variables: Any, given: Any) -> pipeline.Prediction:
            images, found, *seen = given

            def tell(one: Any) -> Any:
                image, looks = one[0], PatchPredictions(*one[1:], jnp.ones(settings.num_patches, bool))
                return pipeline.aggregate(classifier, variables["classifier"], image, looks, settings)

            return pipeline.to_prediction(images, found, lax.map(tell, (images, *seen)))

        def recalled(
            shares: sharding.BatchSharding, run: Callable[[Any, Any], Any]
        ) -> compilation_cache.CachedFunction:
            return compilation_cache.CachedFunction(shares.compile(run), run.__name__, made_of)

        self._draw, self._conclude = (recalled(self._radiographs, run) for run in (draw, conclude))
        self._look = recalled(self._patches, look)
        self._variables = self._radiographs.replicate(variables)
        prepare = jax.jit(registry.precompute_kernels, out_shardings=self._patches.replicated)
        self._prepared = prepare(self._patches.replicate(variables["classifier"]))  # once, and not at every batch

    def __call__(self, images: np.ndarray, checksums: np.ndarray) -> pipeline.Prediction:
        """Diagnose radiographs uint8 [B, S, S] of `batch.hash_images` uint32 [B]; the result is on the host."""
        given = self._radiographs.shard((images, checksums))
        found, places, crops = self._draw(self._variables, given)
        crops = np.concatenate(self._radiographs.gather(crops))
        seen = self._patches.gather(self._look(self._prepared, self._patches.shard(crops)))
        seen = jax.tree.map(lambda x: x.reshape(-1, self._count, *x.shape[1:]), seen)
        looks = (places, *self._radiographs.shard(seen))
        return self._radiographs.gather(self._conclude(self._variables, (given[0], found, *looks)))
