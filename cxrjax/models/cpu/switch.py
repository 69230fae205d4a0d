"""The switch between the kernels for a CPU and those of XLA; layers ask for the platform nowhere else."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import flax.linen as nn
from jax import Array

from cxrjax.models.cpu import conv2d, dense_layer_gradient, microbatch
from cxrjax.models.layers import xla
from cxrjax.runtime.platform import is_for_accelerator, is_for_cpu

# A loop over the layers of a dense block is compiled as one layer, but multiplies zeros. In a loop, the 73 of 91 layers
# of FC-DenseNet103 at 256² that have 64² pixels or fewer make a step no slower; the other 18 make it 11 % slower. In
# inference, the 59 layers of 32² pixels or fewer make it 1 % slower, and the 14 of 64² another 4 %.
MAX_LOOPED_PIXELS = 64**2
MAX_LOOPED_PIXELS_IN_INFERENCE = 32**2


class Kernels(NamedTuple):
    """Implementations that the layers of a network call; all of them compute the same."""

    conv2d: Callable[..., Array]  # (x, kernel, stride, padding, prepared kernel or None); see `xla.conv_xla`
    kernel_gradient: Callable[..., Array]  # see `xla.kernel_gradient`
    transform_kernel: Callable[[Array], Array | None]  # kernel -> prepared kernel, or None if `conv2d` uses none
    dense_layer_gradient: Callable[..., tuple[Array, Array, Array, Array]]  # see `xla.dense_layer_gradient`
    apply_backbone: Callable[[nn.Module, Mapping[str, Any], Array], Array]  # see `microbatch.apply_backbone`
    # Up to so many pixels, h w, the layers of a dense block run in a loop: see `layers.layer_stack`.
    max_looped_pixels: int  # in training
    max_looped_pixels_in_inference: int


_CPU = Kernels(
    conv2d=conv2d.conv2d,
    kernel_gradient=conv2d.kernel_gradient,
    transform_kernel=conv2d.transform_kernel,
    dense_layer_gradient=dense_layer_gradient.dense_layer_gradient,
    apply_backbone=microbatch.apply_backbone,
    max_looped_pixels=MAX_LOOPED_PIXELS,
    max_looped_pixels_in_inference=MAX_LOOPED_PIXELS_IN_INFERENCE,
)
_XLA = Kernels(
    conv2d=xla.conv_xla,
    kernel_gradient=xla.kernel_gradient,
    transform_kernel=lambda kernel: None,
    dense_layer_gradient=xla.dense_layer_gradient,
    apply_backbone=lambda backbone, variables, x: cast(Array, backbone.apply(variables, x, train=False)),
    max_looped_pixels=0,
    max_looped_pixels_in_inference=0,
)
_ACCELERATOR = _XLA._replace(conv2d=xla.conv_accelerator)


def kernels() -> Kernels:
    """Return the kernels of the platform that the function being traced is to run on."""
    if is_for_cpu():
        return _CPU
    return _ACCELERATOR if is_for_accelerator() else _XLA
