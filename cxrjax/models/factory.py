"""Create networks by name with initial parameters."""

from typing import Any

import flax.linen as nn
import jax
from jax import Array

from cxrjax.models import registry

KINDS = ("classifier", "segmenter")


def create(
    architecture: str,
    num_classes: int,
    *,
    size: int = 224,
    channels: int = 1,
    key: Array | None = None,
    **settings: Any,
) -> tuple[nn.Module, dict[str, Any]]:
    """Create a network and draw its initial variables.

    Args:
        architecture: a name of `list()`.
        num_classes: classes of an image (classifiers) or of a pixel (segmenters).
        size: side of the images, in pixels.
        channels: of the images.
        key: random key; None for `jax.random.key(0)`.
        **settings: `head` of a classifier, `dtype` of the computation, and attributes of the network such as `dropout`;
            see `cxrjax.models.registry.create`.

    Returns:
        The Flax module, and its variables {"params": ..., "batch_stats": ...}: `module.apply(variables, x,
        train=False)` maps float [N, size, size, channels] to logits [N, num_classes] (classifiers) or to
        log-probabilities [N, size, size, num_classes] (segmenters).

    Raises:
        ValueError: no such architecture or head.

    Examples:
        >>> import cxrjax as cx, jax.numpy as jnp
        >>> module, variables = cx.models.create("resnet6", num_classes=3, size=64)
        >>> module.apply(variables, jnp.zeros((2, 64, 64, 1)), train=False).shape
        (2, 3)
    """
    module = registry.create(architecture, num_classes, **settings)
    key = jax.random.key(0) if key is None else key
    return module, registry.init_unoptimized(registry.init_fn(module, size, channels), key)


def list_architectures(kind: str = "") -> list[str]:
    """Return the names of the architectures, sorted; `cxrjax.models.list`.

    Args:
        kind: "classifier" or "segmenter"; "" for both.

    Raises:
        ValueError: no such kind.

    Examples:
        >>> import cxrjax as cx
        >>> cx.models.list("segmenter")[:2]
        ['fc_densenet103', 'fc_densenet103_keras']
        >>> "resnet18" in cx.models.list("classifier")
        True
    """
    if kind not in ("", *KINDS):
        raise ValueError(f"there is no kind of network called {kind!r}; there are {', '.join(KINDS)}")
    classifiers = () if kind == "segmenter" else registry.BACKBONES
    segmenters = () if kind == "classifier" else registry.SEGMENTERS
    return sorted([*classifiers, *segmenters])
