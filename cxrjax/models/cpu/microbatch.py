"""Microbatches on a CPU: a few images at a time run through a stage of a backbone, so that they stay in the cache.

A whole batch would go through main memory at every layer. The size of a microbatch depends on the size of the feature
maps: few large maps fit in the cache, and many small ones make reading the kernels worthwhile. ResNet18 takes 0.84 to
0.93 of the time that it takes in microbatches of one size for all stages, the best of 1 to 24 images.
"""

from collections.abc import Mapping
from typing import Any, cast

import flax.linen as nn
from jax import Array

from cxrjax.ops.batching import map_microbatches

# Approximate pixels of the feature maps of a microbatch; measured for ResNet18 on two x86-64 cores
# (benchmarks/RESULTS.md).
PIXELS = 2500


def apply_backbone(backbone: nn.Module, variables: Mapping[str, Any], x: Array) -> Array:
    """Run a backbone in inference, each of its stages in microbatches: float [N, H, W, C] -> [N, h, w, C']."""
    if not hasattr(backbone, "stage_strides"):
        return cast(Array, backbone.apply(variables, x, train=False))
    side = max(x.shape[1:3])
    for stage, stride in enumerate(backbone.stage_strides):
        module = backbone.clone(only_stage=stage)
        max_size = max(1, PIXELS // max(1, side // stride) ** 2)  # the side of a tiny image is rounded down to 0
        x = map_microbatches(lambda batch, module=module: module.apply(variables, batch, train=False), x, max_size)
    return x
