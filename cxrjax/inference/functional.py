"""Predictions as pure functions of arrays: no files, no state, usable inside `jit` and `vmap`.

`cxrjax.load` returns a model whose `params` and `spec` these functions take:

    images = np.stack([cx.preprocess(radiograph, model.spec.input) for radiograph in radiographs])
    keys = cx.inference.image_keys(model.spec.seed, images)
    prediction = cx.inference.predict(model.params, images, keys, spec=model.spec)
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Int, Key, UInt8

from cxrjax.config import Config
from cxrjax.data import batch
from cxrjax.data.image_input import InputSpec
from cxrjax.inference import ensemble, inputs, pipeline
from cxrjax.models import from_config, registry
from cxrjax.models.spec import PATCH_MODES, InferenceConfig, ModelSpec
from cxrjax.runtime.arrays import AnyArray

_NO_CLASSIFIER = "this run trained a segmenter and no classifier; segment_lungs applies it"


class PipelineSpec(NamedTuple):
    """All that decides a prediction beside the parameters, the image and its key; hashable, hence static under `jit`.

    Examples:
        >>> import cxrjax as cx
        >>> model = cx.load("runs/findings")
        >>> model.spec.classes
        ('normal', 'bacterial', 'tuberculosis', 'viral', 'covid19')
    """

    input: InputSpec
    classes: tuple[str, ...]  # () of a run that trained a segmenter
    segmenter: ModelSpec | None
    classifier: ModelSpec | None  # None of a run that trained a segmenter
    inference: InferenceConfig
    seed: int  # that the keys of images are made of
    num_members: int = 1  # networks of an ensemble; above 1, the classifier's parameters have a first axis of them

    @classmethod
    def from_config(cls, config: Config) -> "PipelineSpec":
        """Return the specification of a run's config."""
        classes = from_config.classes(config)
        return cls(
            input=InputSpec.from_config(config),
            classes=classes,
            segmenter=from_config.segmenter(config),
            classifier=from_config.classifier(config) if classes else None,
            inference=from_config.inference_config(config, config.patches.count),
            seed=config.seed,
            num_members=config.evaluation.ensemble_size,
        )

    @property
    def fingerprint(self) -> str:
        """Text that identifies the specification, the same in every process."""
        segmenter = self.segmenter and self.segmenter.fingerprint
        classifier = self.classifier and self.classifier.fingerprint
        return repr((self._replace(segmenter=None, classifier=None), segmenter, classifier))

    @property
    def can_share_patches(self) -> bool:
        """True if devices can share the patches of a radiograph; see `cxrjax.inference.patch_parallel`."""
        is_single = self.classifier is not None and self.num_members == 1
        return is_single and PATCH_MODES[self.inference.patch_mode].draws_patches


@partial(jax.jit, static_argnames="spec")
def predict(
    params: Mapping[str, Any], images: UInt8[Array, "n s s"], keys: Key[Array, "n"], *, spec: PipelineSpec
) -> pipeline.Prediction:
    """Segment the lungs, classify by the votes of patches, and compute the saliency map (Oh et al. 2020, II-B to II-D).

    Args:
        params: `model.params`: {"segmenter": variables, "classifier": variables}.
        images: of `cxrjax.preprocess`.
        keys: random keys that patches are drawn by; `image_keys` returns those of `model.predict`.
        spec: `model.spec`.

    Returns:
        Arrays with a first axis n; see `cxrjax.inference.pipeline.Prediction`.

    Raises:
        ValueError: the run trained a segmenter and no classifier.

    Examples:
        >>> import cxrjax as cx
        >>> model = cx.load("runs/findings")
        >>> radiographs = [cx.read_radiograph(path) for path in cx.find_radiographs("radiographs")]
        >>> images = np.stack([cx.preprocess(radiograph, model.spec.input) for radiograph in radiographs])
        >>> keys = cx.inference.image_keys(model.spec.seed, images)
        >>> prediction = cx.inference.predict(model.params, images, keys, spec=model.spec)
        >>> prediction.probabilities.shape == (len(images), len(model.classes))
        True
    """
    if spec.classifier is None:
        raise ValueError(_NO_CLASSIFIER)
    predict_batch = pipeline.predict if spec.num_members == 1 else ensemble.predict_ensemble
    return predict_batch(spec.segmenter, spec.classifier, params, images, keys, spec.inference)


@partial(jax.jit, static_argnames="spec")
def segment_lungs(
    params: Mapping[str, Any], images: UInt8[Array, "n s s"], *, spec: PipelineSpec
) -> pipeline.LungSegmentation:
    """Segment the lungs and the heart (Oh et al. 2020, section II-B).

    Args:
        params: `model.params`.
        images: of `cxrjax.preprocess`.
        spec: `model.spec`.

    Returns:
        Arrays with a first axis n; see `cxrjax.inference.pipeline.LungSegmentation`.

    Examples:
        >>> import cxrjax as cx
        >>> model = cx.load("runs/findings")
        >>> image = cx.preprocess(cx.read_radiograph("patient.png"), model.spec.input)
        >>> segmentation = cx.inference.segment_lungs(model.params, image[None], spec=model.spec)
        >>> segmentation.lung_mask.shape == (1, model.spec.input.size, model.spec.input.size)
        True
    """
    return pipeline.segment_or_skip(spec.segmenter, params, images, spec.inference)


@partial(jax.jit, static_argnames="spec")
def classify_patches(
    params: Mapping[str, Any],
    image: UInt8[Array, "s s"],
    segmentation: pipeline.LungSegmentation,
    key: Key[Array, ""],
    *,
    spec: PipelineSpec,
) -> inputs.PatchPredictions:
    """Sample the patches of one radiograph and classify each of them (Oh et al. 2020, section II-C).

    Args:
        params: `model.params`.
        image: of `cxrjax.preprocess`.
        segmentation: of this radiograph: an element of the result of `segment_lungs`.
        key: random key that the patches are drawn by.
        spec: `model.spec`, of a single classifier.

    Returns:
        The centers, logits and feature maps of the patches; see `cxrjax.inference.inputs.PatchPredictions`.

    Examples:
        >>> import cxrjax as cx, jax
        >>> model = cx.load("runs/findings")
        >>> image = cx.preprocess(cx.read_radiograph("patient.png"), model.spec.input)
        >>> segmentation = cx.inference.segment_lungs(model.params, image[None], spec=model.spec)
        >>> segmentation = jax.tree.map(lambda x: x[0], segmentation)
        >>> (key,) = cx.inference.image_keys(model.spec.seed, image[None])
        >>> patches = cx.inference.classify_patches(model.params, image, segmentation, key, spec=model.spec)
        >>> patches.logits.shape == (model.spec.inference.num_patches, len(model.classes))
        True
    """
    radiograph = inputs.SegmentedRadiograph(image, segmentation.lung_mask, segmentation.confidence, key)
    prepared = registry.precompute_kernels(params["classifier"])
    return pipeline.classify_image(_classifier(spec), prepared, radiograph, spec.inference)


@partial(jax.jit, static_argnames="spec")
def saliency_map(
    params: Mapping[str, Any],
    image: UInt8[Array, "s s"],
    patches: inputs.PatchPredictions,
    class_index: Int[Array, ""],
    *,
    spec: PipelineSpec,
) -> Float32[Array, "s s"]:
    """Compute the saliency map of any class in one radiograph (Oh et al. 2020, section II-D).

    Args:
        params: `model.params`.
        image: of `cxrjax.preprocess`.
        patches: of `classify_patches` with the same parameters, image and specification.
        class_index: index in `model.classes`.
        spec: `model.spec`, of a single classifier.

    Returns:
        The map, in 0..1.

    Examples:
        >>> import cxrjax as cx, jax
        >>> model = cx.load("runs/findings")
        >>> image = cx.preprocess(cx.read_radiograph("patient.png"), model.spec.input)
        >>> segmentation = cx.inference.segment_lungs(model.params, image[None], spec=model.spec)
        >>> segmentation = jax.tree.map(lambda x: x[0], segmentation)
        >>> (key,) = cx.inference.image_keys(model.spec.seed, image[None])
        >>> patches = cx.inference.classify_patches(model.params, image, segmentation, key, spec=model.spec)
        >>> viral = model.classes.index("viral")
        >>> cx.inference.saliency_map(model.params, image, patches, viral, spec=model.spec).shape == image.shape
        True
    """
    return pipeline.saliency_map(_classifier(spec), params["classifier"], image, patches, class_index, spec.inference)


def image_keys(seed: int, images: UInt8[AnyArray, "n s s"]) -> Key[Array, "n"]:
    """Return the random key of each image: the seed with the checksum of the image's pixels folded in.

    So the same image gets the same patches under any name and in any batch.

    Args:
        seed: `model.spec.seed`, or another one.
        images: of `cxrjax.preprocess`.

    Returns:
        The keys.

    Examples:
        >>> import cxrjax as cx
        >>> cx.inference.image_keys(0, np.zeros((2, 64, 64), np.uint8)).shape
        (2,)
    """
    return pipeline.image_keys(seed, jnp.asarray(batch.hash_images(np.asarray(images))))


def _classifier(spec: PipelineSpec) -> ModelSpec:
    """Return the classifier of a specification.

    Raises:
        ValueError: there is none, or there are several.
    """
    if spec.classifier is None:
        raise ValueError(_NO_CLASSIFIER)
    if spec.num_members > 1:
        raise ValueError(f"this is an ensemble of {spec.num_members} classifiers; load the run with ensemble_size=1")
    return spec.classifier
