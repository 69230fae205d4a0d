"""The networks of a config: which architecture, what it reads, and in what precision."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from jax import Array
from ml_collections import ConfigDict

from cxrjax.models import registry
from cxrjax.models.spec import PATCH_MODES, InferenceConfig, ModelSpec
from cxrjax.ops import lung_masks


def segmenter(config: ConfigDict) -> ModelSpec | None:
    """The network that labels every pixel with one of `lung_masks.STRUCTURES`; None of a classifier that names none.

    Raises:
        ValueError: torchvision, whose initializer is named, does not have the network.
    """
    c = config.segmenter
    if config.task == "classify" and not c.workdir:
        return None
    module = registry.create(
        c.architecture, len(lung_masks.STRUCTURES), dropout=c.dropout, dtype=compute_dtype(config.precision)
    )
    initializer = registry.find_initializer(module, c.initializer)
    return ModelSpec(module, c.size, c.channels, c.normalise, initializer=initializer)


def classifier(config: ConfigDict) -> ModelSpec:
    """The network that tells which of the config's classes a patch shows.

    Raises:
        ValueError: the context is not whole cells of the backbone's last feature map; or torchvision, whose
            initializer is named, does not have the network.
    """
    c, patches = config.classifier, config.patches
    module = registry.create(c.architecture, len(c.classes), head=c.head, dtype=compute_dtype(config.precision))
    initializer = registry.find_initializer(module, c.initializer)
    context = patches.context if PATCH_MODES[patches.mode].has_context else 0
    if context:
        cell = registry.output_stride(module, c.channels)
        if context % cell:
            raise ValueError(f"patches.context={context} is not a multiple of {cell}, the stride of {c.architecture}")
        module = module.clone(margin=context // cell)
    return ModelSpec(module, patches.size, c.channels, c.normalise, context, initializer)


def inference_config(config: ConfigDict, patch_count: int) -> InferenceConfig:
    """How a run diagnoses, with N = `patch_count` patches a radiograph."""
    return InferenceConfig(
        mode=config.patches.mode,
        masked=config.patches.masked,
        patch_count=patch_count if PATCH_MODES[config.patches.mode].draws_patches else 1,
        patch_chunk=config.patches.chunk,
        voting_rule=config.voting.rule,
        smallest_part=config.segmenter.smallest_part,
        smallest_lungs=config.segmenter.smallest_lungs,
        channels=config.patches.channels,
        margin=config.patches.margin,
        confidence=config.patches.confidence,
        center_crop=config.patches.center_crop,
        scaling=config.saliency.scaling,
    )


def init(network: ModelSpec, key: Array) -> dict[str, Any]:
    """Random weights: key -> {"params", "batch_stats"}, float32; no statistics where there is no batch norm."""
    return registry.init_unoptimized(_initialiser(network), key)


def layers(network: ModelSpec) -> list[str]:
    """Paths of the layers that learn, as "backbone/conv1", from input to output: in the order of their first use."""
    x, found = jnp.zeros((1, network.side, network.side, network.channels)), []

    def build(key: Array) -> Mapping[str, Any]:
        variables = network.module.init(key, x, train=False)
        # Read in here, for jax sorts what comes out by name.
        found.extend(dict.fromkeys("/".join(path[:-1]) for path in flatten_dict(variables["params"])))
        return variables

    jax.eval_shape(build, jax.random.key(0))
    return found


def blank_image(network: ModelSpec) -> dict[str, Any]:
    """Zeros in the form of `init`, on the host: nothing is compiled or drawn."""
    shapes = jax.eval_shape(_initialiser(network), jax.random.key(0))
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)


def compute_dtype(precision: str) -> Any:
    """ "float32" or "bfloat16" as a type; "auto" is bfloat16 where an accelerator is.

    Raises:
        ValueError: no such precision.
    """
    if precision == "auto":
        precision = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    if precision not in ("float32", "bfloat16"):
        raise ValueError(f"no precision called {precision!r}; there are float32, bfloat16, auto")
    return jnp.dtype(precision)


def _initialiser(network: ModelSpec) -> Callable[[Array], dict[str, Any]]:
    return registry.init_fn(network.module, network.side, network.channels, network.initializer)
