"""Networks by name, with random or published weights: the public functions of `cxrjax.models`."""

import os
from typing import Any

import flax.linen as nn
import jax
from jax import Array

from cxrjax.config import imagenet_address
from cxrjax.models import registry
from cxrjax.pretrained import formats, hub, state_dict
from cxrjax.runs import bundled_models

KINDS = ("classifier", "segmenter", "trained")


def create(
    architecture: str,
    num_classes: int,
    *,
    pretrained: str | os.PathLike[str] | None = None,
    size: int = 224,
    channels: int = 1,
    key: Array | None = None,
    **settings: Any,
) -> tuple[nn.Module, dict[str, Any]]:
    """Create a network with its variables.

    Args:
        architecture: a name of `list()`.
        num_classes: classes of an image (classifiers) or of a pixel (segmenters).
        pretrained: file of published weights (safetensors, PyTorch or Keras), its address ("hf:OWNER/NAME/PATH" or
            "https://…#sha256=DIGEST"), or "imagenet" for those of torchvision, which are downloaded once; None for
            random weights. The head is drawn at random for "imagenet", and where that of the file does not fit.
        size: side of the images, in pixels.
        channels: channels of the images. Color weights are summed over the colors for 1.
        key: random key of what is drawn; None for `jax.random.key(0)`.
        **settings: `head` of a classifier, `dtype` of the computation, and attributes of the network such as `dropout`;
            see `cxrjax.models.registry.create`.

    Returns:
        The Flax module, and its variables {"params": ..., "batch_stats": ...}: `module.apply(variables, x,
        train=False)` maps float [N, size, size, channels] to logits [N, num_classes] (classifiers) or to
        log-probabilities [N, size, size, num_classes] (segmenters).

    Raises:
        ValueError: no such architecture or head; there are no ImageNet weights of it; or the weights are not those of
            the architecture.
        WeightFormatError: the file cannot be found, downloaded or read.

    Examples:
        >>> import cxrjax as cx, jax.numpy as jnp
        >>> module, variables = cx.models.create("resnet6", num_classes=3, size=64)
        >>> module.apply(variables, jnp.zeros((2, 64, 64, 1)), train=False).shape
        (2, 3)
        >>> module, variables = cx.models.create("resnet18", 4, pretrained="imagenet")  # doctest: +SKIP
    """
    module = registry.create(architecture, num_classes, **settings)
    key = jax.random.key(0) if key is None else key
    if pretrained is None:
        return module, registry.init_unoptimized(registry.init_fn(module, size, channels), key)
    is_imagenet = pretrained == "imagenet"
    address = imagenet_address(architecture) if is_imagenet else os.fspath(pretrained)
    state = formats.read_weights(hub.locate(address))

    def convert(new_head: Array | None) -> dict[str, Any]:
        return state_dict.from_state_dict(
            architecture,
            state,
            num_classes=num_classes,
            head=settings.get("head", "own"),
            new_head=new_head,
            channels=channels,
        )

    if not is_imagenet:
        try:
            return module, convert(None)
        except state_dict.WeightMismatchError:
            pass
    return module, convert(key)


def list_names(kind: str = "") -> list[str]:
    """Return the names of architectures or trained models, sorted; `cxrjax.models.list`.

    Args:
        kind: "classifier" or "segmenter" for architectures, which `create` takes; "" for both; "trained" for the models
            that come with the package, which `cxrjax.load` takes.

    Raises:
        ValueError: no such kind.

    Examples:
        >>> import cxrjax as cx
        >>> cx.models.list("segmenter")[:2]
        ['fc_densenet103', 'fc_densenet103_keras']
        >>> "resnet18" in cx.models.list("classifier")
        True
        >>> "lungs" in cx.models.list("trained")
        True
    """
    if kind not in ("", *KINDS):
        raise ValueError(f"there is no kind of network called {kind!r}; there are {', '.join(KINDS)}")
    if kind == "trained":
        return sorted(bundled_models.MODELS)
    classifiers = () if kind == "segmenter" else registry.BACKBONES
    segmenters = () if kind == "classifier" else registry.SEGMENTERS
    return sorted([*classifiers, *segmenters])
