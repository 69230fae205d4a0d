"""Networks by name. `build` is the only door: no other module names a network's class."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cxrjax.models.fc_densenet import FCDenseNet
from cxrjax.models.resnet import ResNet

# Jegou et al. 2017, tables 1 and 2; He et al. 2016, table 1; and, counted in the same way, small ones of ours for the
# phantom. `fc_densenet103_oh2020` is `fc_densenet103` under the name of Oh et al.'s weights.
ARCHITECTURES = {
    "fc_densenet29": partial(FCDenseNet, blocks=(3, 3, 3), bottleneck=3, growth=12, stem=24),
    "fc_densenet56": partial(FCDenseNet, blocks=(4, 4, 4, 4, 4), bottleneck=4, growth=12, stem=48),
    "fc_densenet67": partial(FCDenseNet, blocks=(5, 5, 5, 5, 5), bottleneck=5, growth=16, stem=48),
    "fc_densenet103": FCDenseNet,
    "fc_densenet103_oh2020": FCDenseNet,
    "resnet6": partial(ResNet, stages=(1, 1)),
    "resnet8": partial(ResNet, stages=(1, 1, 1)),
    "resnet18": ResNet,
    "resnet34": partial(ResNet, stages=(3, 4, 6, 3)),
}


def build(architecture: str, num_classes: int, **settings: Any) -> nn.Module:
    """The network called `architecture`, not yet initialised.

    Args:
        architecture: a key of ARCHITECTURES.
        num_classes: labels of a pixel (FC-DenseNet) or findings of a radiograph (ResNet).
        **settings: attributes of the network to set differently, as `dropout` or `dtype`.

    Returns:
        A module with `init(key, x, train)` and `apply(variables, x, train)`, x float [N, H, W, C].

    Raises:
        ValueError: no such architecture.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(f"no architecture called {architecture!r}; there are {', '.join(sorted(ARCHITECTURES))}")
    return ARCHITECTURES[architecture](num_classes=num_classes, **settings)


def count_parameters(variables: Mapping[str, Any]) -> int:
    """How many numbers are learned (running statistics of batch norm not counted)."""
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def apply_with_features(module: nn.Module, variables: Mapping[str, Any], x: Array) -> tuple[Array, Array]:
    """Run a classifier, keeping its last feature map for class activation maps: x float [N, H, W, C].

    Returns:
        Logits [N, K] and features [N, h, w, C'], float32.
    """
    logits, sown = module.apply(variables, x, train=False, mutable=["intermediates"])
    return logits, sown["intermediates"]["features"][0].astype(jnp.float32)


def head_kernel(variables: Mapping[str, Any]) -> Array:
    """Kernel [C', K] of the linear layer that follows a classifier's global mean."""
    return variables["params"]["fc"]["kernel"]
