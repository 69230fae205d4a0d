"""Prediction for fewer radiographs than devices: the devices share the patches, so that none is idle.

A lone radiograph takes 1.3 s instead of 1.75 s on two Intel cores. There are three programs instead
of one, since a device that waits inside a program for another device blocks one of XLA's threads; and as a single
program over both devices, each would segment the radiograph.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from cxrjax.inference import pipeline
from cxrjax.inference.functional import PipelineSpec
from cxrjax.inference.inputs import PatchPredictions, SegmentedRadiograph
from cxrjax.inference.strategies import local_patches, patch_classifier
from cxrjax.models import registry
from cxrjax.runtime import compilation_cache, compile_notice, compiler_options, sharding


def count_devices() -> int:
    """Return the number of devices that share the patches of few radiographs.

    It is 1 on accelerators and with several processes, where transfers between the devices could take as long as they
    save; on a CPU all devices share memory.
    """
    return jax.device_count() if jax.default_backend() == "cpu" and jax.process_count() == 1 else 1


class PatchParallelPredictor:
    """Equivalent of `pipeline.predict` whose devices share the patches of a batch equally; mode "local" only."""

    def __init__(self, spec: PipelineSpec, variables: Mapping[str, Any], batch_size: int, max_devices: int):
        """Place the networks on the devices.

        Args:
            spec: specification of a run whose devices can share patches.
            variables: `{"segmenter": ..., "classifier": ...}`, parameters and statistics of both networks.
            batch_size: radiographs per batch.
            max_devices: maximum number of devices of each process that classify.
        """
        settings = spec.inference
        segmenter = spec.segmenter
        classifier = spec.classifier
        assert classifier is not None
        self._num_patches = settings.num_patches
        self._image_sharding = sharding.BatchSharding(batch_size)
        self._patch_sharding = sharding.BatchSharding(batch_size * self._num_patches, max_devices)

        @compile_notice.describe_program("the segmenter of the lungs and the choice of the patches")
        def sample(variables: Any, inputs: tuple[Array, Array]) -> tuple[pipeline.LungSegmentation, Array, Array]:
            images, image_ids = inputs
            keys = pipeline.image_keys(spec.seed, image_ids)
            segmentation = pipeline.segment_or_skip(segmenter, variables, images, settings)
            radiographs = SegmentedRadiograph(images, segmentation.lung_mask, segmentation.confidence, keys)
            sampled = lax.map(lambda radiograph: local_patches.sample(classifier, radiograph, settings), radiographs)
            return segmentation, sampled.centers, sampled.pixels

        @compile_notice.describe_program("the classifier")
        def classify(prepared: Any, crops: Array) -> tuple[Array, Array]:
            return patch_classifier.classify_patches(classifier, prepared, crops, settings)

        @compile_notice.describe_program("the votes and the saliency map")
        def aggregate(variables: Any, inputs: Any) -> pipeline.Prediction:
            images, segmentation, centers, logits, features = inputs

            def aggregate_one(row: tuple[Array, ...]) -> Any:
                image, centers, logits, features = row
                valid = jnp.ones(settings.num_patches, bool)
                predictions = PatchPredictions(centers, logits, features, valid)
                return pipeline.aggregate(classifier, variables["classifier"], image, predictions, settings)

            aggregated = lax.map(aggregate_one, (images, centers, logits, features))
            return pipeline.to_prediction(images, segmentation, aggregated)

        def cached(
            batch_sharding: sharding.BatchSharding, run: Callable[[Any, Any], Any], options: Mapping[str, bool | int]
        ) -> compilation_cache.CachedFunction:
            compiled = batch_sharding.compile(run)
            return compilation_cache.CachedFunction(compiled, run.__name__, spec.fingerprint, options=options)

        self._sample = cached(self._image_sharding, sample, compiler_options.SEGMENTATION)
        self._classify = cached(self._patch_sharding, classify, compiler_options.CLASSIFICATION)
        self._aggregate = cached(self._image_sharding, aggregate, compiler_options.SEGMENTATION)
        self._variables = self._image_sharding.replicate_constants(variables)
        # Once for all batches, from host arrays that share the memory of the placed ones.
        prepared = registry.precompute_kernels(jax.device_get(self._variables["classifier"]))
        self._prepared = self._patch_sharding.replicate_constants(prepared)

    def __call__(self, images: np.ndarray, image_ids: np.ndarray) -> pipeline.Prediction:
        """Predict radiographs uint8 [B, S, S] with ids uint32 [B] of `batch.hash_images`; returns host arrays."""
        inputs = self._image_sharding.shard((images, image_ids))
        segmentation, centers, crops = self._sample(self._variables, inputs)
        crops = np.concatenate(self._image_sharding.gather(crops))
        outputs = self._patch_sharding.gather(self._classify(self._prepared, self._patch_sharding.shard(crops)))
        outputs = jax.tree.map(lambda x: x.reshape(-1, self._num_patches, *x.shape[1:]), outputs)
        logits, features = self._image_sharding.shard(outputs)
        prediction = self._aggregate(self._variables, (inputs[0], segmentation, centers, logits, features))
        return self._image_sharding.gather(prediction)
