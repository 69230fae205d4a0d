"""Predictions as pure functions of arrays: no files, no state, usable inside `jit` and `vmap`.

`cxrjax.load` returns a model whose `params` and `spec` these functions take:

    images = np.stack([cx.preprocess(radiograph, model.spec.input) for radiograph in radiographs])
    keys = cx.inference.image_keys(model.spec.seed, images)
    prediction = cx.inference.predict(model.params, images, keys, spec=model.spec)
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from ml_collections import ConfigDict

from cxrjax.data import batch
from cxrjax.data.image_input import InputSpec
from cxrjax.inference import ensemble, pipeline
from cxrjax.models import from_config
from cxrjax.models.spec import PATCH_MODES, InferenceConfig, ModelSpec


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
    def from_config(cls, config: ConfigDict) -> Self:
        """Return the specification of a run's config."""
        classes = from_config.classes(config)
        return cls(
            input=InputSpec.from_config(config),
            classes=classes,
            segmenter=from_config.segmenter(config),
            classifier=from_config.classifier(config) if classes else None,
            inference=from_config.inference_config(config, config.patches.count),
            seed=config.seed,
            num_members=config.evaluation.members,
        )

    @property
    def fingerprint(self) -> str:
        """Text that identifies the specification, the same in every process."""
        segmenter = self.segmenter and self.segmenter.fingerprint
        classifier = self.classifier and self.classifier.fingerprint
        return repr((self._replace(segmenter=None, classifier=None), segmenter, classifier))

    @property
    def can_share_patches(self) -> bool:
        """Whether devices can share the patches of a radiograph; see `cxrjax.inference.patch_parallel`."""
        is_single = self.classifier is not None and self.num_members == 1
        return is_single and PATCH_MODES[self.inference.patch_mode].draws_patches


@partial(jax.jit, static_argnames="spec")
def predict(params: Mapping[str, Any], images: Array, keys: Array, *, spec: PipelineSpec) -> pipeline.Prediction:
    """Segment the lungs, classify by the votes of patches, and compute the saliency map (Oh et al. 2020, II-B to II-D).

    Args:
        params: `model.params`: {"segmenter": variables, "classifier": variables}.
        images: uint8 [B, S, S], of `cxrjax.preprocess`.
        keys: random keys [B] that patches are drawn by; `image_keys` returns those of `model.predict`.
        spec: `model.spec`.

    Returns:
        Arrays with a first axis B; see `cxrjax.inference.pipeline.Prediction`.

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
        raise ValueError("this run trained a segmenter and no classifier; segment_lungs applies it")
    predict_batch = pipeline.predict if spec.num_members == 1 else ensemble.predict_ensemble
    return predict_batch(spec.segmenter, spec.classifier, params, images, keys, spec.inference)


@partial(jax.jit, static_argnames="spec")
def segment_lungs(params: Mapping[str, Any], images: Array, *, spec: PipelineSpec) -> pipeline.LungSegmentation:
    """Segment the lungs and the heart (Oh et al. 2020, section II-B).

    Args:
        params: `model.params`.
        images: uint8 [B, S, S], of `cxrjax.preprocess`.
        spec: `model.spec`.

    Returns:
        Arrays with a first axis B; see `cxrjax.inference.pipeline.LungSegmentation`.

    Examples:
        >>> import cxrjax as cx
        >>> model = cx.load("runs/findings")
        >>> image = cx.preprocess(cx.read_radiograph("patient.png"), model.spec.input)
        >>> segmentation = cx.inference.segment_lungs(model.params, image[None], spec=model.spec)
        >>> segmentation.lung_mask.shape == (1, model.spec.input.size, model.spec.input.size)
        True
    """
    return pipeline.segment_or_skip(spec.segmenter, params, images, spec.inference)


def image_keys(seed: int, images: np.ndarray) -> Array:
    """Return the random key of each image: the seed with the checksum of the image's pixels folded in.

    So the same image gets the same patches under any name and in any batch.

    Args:
        seed: `model.spec.seed`, or another one.
        images: uint8 [B, S, S], of `cxrjax.preprocess`.

    Returns:
        Keys [B].

    Examples:
        >>> import cxrjax as cx
        >>> cx.inference.image_keys(0, np.zeros((2, 64, 64), np.uint8)).shape
        (2,)
    """
    return pipeline.image_keys(seed, jnp.asarray(batch.hash_images(np.asarray(images))))
