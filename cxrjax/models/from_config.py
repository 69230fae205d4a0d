"""Networks and inference settings of a config."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from jax import Array

from cxrjax.config import Config
from cxrjax.models import registry
from cxrjax.models.spec import PATCH_MODES, InferenceConfig, ModelSpec
from cxrjax.ops import lung_masks


def segmenter(config: Config) -> ModelSpec | None:
    """Return the network that assigns one of `lung_masks.STRUCTURES` to every pixel.

    Returns:
        The segmenter; None if the config is that of a classifier and names no run of a segmenter.

    Raises:
        ValueError: the initializer is "torchvision" and torchvision does not have the network.
    """
    settings = config.segmenter
    if config.task == "classify" and not settings.workdir:
        return None
    module = registry.create(
        settings.architecture,
        len(lung_masks.STRUCTURES),
        dropout=settings.dropout,
        dtype=compute_dtype(config.precision),
    )
    return ModelSpec(
        module=module,
        patch_size=settings.size,
        in_channels=settings.channels,
        normalization=settings.normalization,
        initializer=registry.find_initializer(module, settings.initializer),
    )


def classifier(config: Config) -> ModelSpec:
    """Return the network that assigns one of the config's classes to a patch.

    Raises:
        ValueError: the context is not a multiple of the backbone's output stride; or the initializer is "torchvision"
            and torchvision does not have the network.
    """
    settings = config.classifier
    patches = config.patches
    module = registry.create(
        settings.architecture, len(settings.classes), head=settings.head, dtype=compute_dtype(config.precision)
    )
    initializer = registry.find_initializer(module, settings.initializer)
    context = patches.context_pixels if PATCH_MODES[patches.mode].has_context else 0
    if context:
        stride = registry.output_stride(module, settings.channels)
        if context % stride:
            raise ValueError(
                f"patches.context_pixels={context} is not a multiple of {stride}, the stride of {settings.architecture}"
            )
        module = module.clone(crop_border=context // stride)
    return ModelSpec(
        module=module,
        patch_size=patches.size,
        in_channels=settings.channels,
        normalization=settings.normalization,
        context_pixels=context,
        initializer=initializer,
    )


def classes(config: Config) -> tuple[str, ...]:
    """Return the classes of a classifier's config; () of a segmenter's."""
    return config.classifier.classes if config.task == "classify" else ()


def inference_config(config: Config, num_patches: int) -> InferenceConfig:
    """Return the settings of inference, with `num_patches` patches per radiograph.

    Raises:
        ValueError: the classifier has operating points, and they are not one for each of several findings.
    """
    settings = config.classifier
    if settings.thresholds and (settings.targets != "multi" or len(settings.thresholds) != len(settings.classes)):
        raise ValueError(
            f"classifier.thresholds has {len(settings.thresholds)} numbers; it should have one for each of the "
            f'{len(settings.classes)} findings of classifier.targets="multi", or none'
        )
    return InferenceConfig(
        patch_mode=config.patches.mode,
        mask_lungs=config.patches.mask_lungs,
        num_patches=num_patches if PATCH_MODES[config.patches.mode].draws_patches else 1,
        patch_batch_size=config.patches.batch_size,
        aggregation=config.voting.aggregation,
        min_component_area=config.segmenter.min_component_area,
        min_lung_area=config.segmenter.min_lung_area,
        channels=config.patches.channels,
        bbox_margin=config.patches.bbox_margin,
        min_lung_confidence=config.patches.min_lung_confidence,
        center_crop=config.patches.center_crop,
        scaling=config.saliency.scaling,
        targets=settings.targets,
        thresholds=settings.thresholds,
    )


def init(network: ModelSpec, key: Array) -> dict[str, Any]:
    """Draw random weights.

    Returns:
        {"params", "batch_stats"}, float32; the statistics are {} if the network has no batch norm.
    """
    return registry.init_unoptimized(_init_fn(network), key)


def layer_paths(network: ModelSpec) -> list[str]:
    """Return the paths of the layers with parameters, such as "backbone/conv1", in the order of their first use."""
    x = jnp.zeros((1, network.input_size, network.input_size, network.in_channels))
    paths = []

    def build(key: Array) -> Mapping[str, Any]:
        variables = network.module.init(key, x, train=False)
        # Collected inside the traced function, since JAX sorts its result by name.
        paths.extend(dict.fromkeys("/".join(path[:-1]) for path in flatten_dict(variables["params"])))
        return variables

    jax.eval_shape(build, jax.random.key(0))
    return paths


def zero_variables(network: ModelSpec) -> dict[str, Any]:
    """Return zeros with the structure of `init`'s result, as NumPy arrays, without compiling anything."""
    shapes = jax.eval_shape(_init_fn(network), jax.random.key(0))
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)


def compute_dtype(precision: str) -> Any:
    """Return the type of "float32" or "bfloat16"; "auto" is bfloat16 on an accelerator and float32 on a CPU.

    Raises:
        ValueError: no such precision.
    """
    if precision == "auto":
        precision = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    if precision not in ("float32", "bfloat16"):
        raise ValueError(f"no precision called {precision!r}; there are float32, bfloat16, auto")
    return jnp.dtype(precision)


def _init_fn(network: ModelSpec) -> Callable[[Array], dict[str, Any]]:
    return registry.init_fn(network.module, network.input_size, network.in_channels, network.initializer)
