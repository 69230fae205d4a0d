"""Networks by name. `build` is the only door: no other module names a network's class.

`Grey` is what most of them take for a picture of one level, `hold` keeps their statistics, and `split` and `join` are
for batches that are too large for them (see there).
"""

import math
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array

from cxrjax.models import initializers
from cxrjax.models.classifier import Classifier
from cxrjax.models.cpu import conv2d
from cxrjax.models.densenet import DenseNet
from cxrjax.models.fc_densenet import FCDenseNet
from cxrjax.models.heads import HEADS
from cxrjax.models.initializers import HE_NORMAL as HE_NORMAL
from cxrjax.models.initializers import Initializer as Initializer
from cxrjax.models.preact_resnet import PreActResNet
from cxrjax.models.resnet import ResNet
from cxrjax.models.small_cnn import SmallCNN, TwoLayerCNN
from cxrjax.models.unet import UNet
from cxrjax.models.unet_resnet import UNetResNet
from cxrjax.models.vgg import VGG

# Jegou et al. 2017, tables 1 and 2; and, counted in the same way, a small one of ours for the phantom.
# `fc_densenet103_oh2020` is `fc_densenet103` under the name of Oh et al.'s weights.
SEGMENTERS = {
    "fc_densenet29": partial(FCDenseNet, blocks=(3, 3, 3), bottleneck=3, growth=12, stem=24),
    "fc_densenet56": partial(FCDenseNet, blocks=(4, 4, 4, 4, 4), bottleneck=4, growth=12, stem=48),
    "fc_densenet67": partial(FCDenseNet, blocks=(5, 5, 5, 5, 5), bottleneck=5, growth=16, stem=48),
    "fc_densenet103": FCDenseNet,
    "fc_densenet103_oh2020": FCDenseNet,
    "fc_densenet103_keras": partial(FCDenseNet, keras=True),
    "unet": UNet,
    "unet_resnet34": UNetResNet,
}


class BackboneEntry(NamedTuple):
    """A backbone, and the head (of `heads.HEADS`) that it was published with."""

    build: Any
    head: str = "linear"


# He et al. 2016, table 1; Huang et al. 2017, table 1; Simonyan & Zisserman 2015, table 1 (A, D, E); the small CNNs of
# the projects; and small ResNets of ours for the phantom and the audit.
BACKBONES = {
    "resnet6": BackboneEntry(partial(ResNet, stages=(1, 1))),
    "resnet8": BackboneEntry(partial(ResNet, stages=(1, 1, 1))),
    "resnet8_narrow": BackboneEntry(partial(ResNet, stages=(1, 1, 1), width=24)),
    "resnet18": BackboneEntry(ResNet),
    "resnet34": BackboneEntry(partial(ResNet, stages=(3, 4, 6, 3))),
    "resnet50": BackboneEntry(partial(ResNet, stages=(3, 4, 6, 3), bottleneck=True)),
    "resnet101": BackboneEntry(partial(ResNet, stages=(3, 4, 23, 3), bottleneck=True)),
    "resnet18_keras": BackboneEntry(PreActResNet),
    "densenet121": BackboneEntry(DenseNet),
    "densenet201": BackboneEntry(partial(DenseNet, blocks=(6, 12, 48, 32))),
    "vgg11_bn": BackboneEntry(partial(VGG, stages=(1, 1, 2, 2, 2), norm=True), "vgg"),
    "vgg16": BackboneEntry(VGG, "vgg"),
    "vgg19": BackboneEntry(partial(VGG, stages=(2, 2, 4, 4, 4)), "vgg"),
    "fsarshad_cnn1": BackboneEntry(SmallCNN, "fsarshad_cnn1"),
    "fsarshad_cnn2": BackboneEntry(
        partial(SmallCNN, widths=(32, 64, 128, 256, 512), sizes=(3, 5), activation="gelu", dropout=0.2), "fsarshad_cnn2"
    ),
    "fsarshad_cnn3": BackboneEntry(
        partial(SmallCNN, sizes=(3, 5), activation="swish", norm=True, dropout=0.2), "fsarshad_cnn3"
    ),
    "hieu2695_baseline": BackboneEntry(TwoLayerCNN, "flat_linear"),
}
ARCHITECTURES = (*SEGMENTERS, *BACKBONES)

# Backbones that torchvision has -> how `initializers.TORCHVISION` names their family.
_FAMILIES = {ResNet: "resnet", DenseNet: "densenet", VGG: "vgg"}

# What a network's variables are.
COLLECTIONS = ("params", "batch_stats")


def create(
    architecture: str, num_classes: int, *, head: str = "own", dtype: Any = "float32", **settings: Any
) -> nn.Module:
    """The network called `architecture`, not yet initialised.

    Args:
        architecture: one of ARCHITECTURES.
        num_classes: labels of a pixel (SEGMENTERS) or findings of a radiograph (BACKBONES).
        head: of `heads.HEADS`, or "own": the one the backbone was published with. A segmenter has no other.
        dtype: of the computation.
        **settings: attributes of the segmenter or the backbone to set differently, as `dropout`.

    Returns:
        A module with `init(key, x, train)` and `apply(variables, x, train)`, x float [N, H, W, C].

    Raises:
        ValueError: no such architecture or head.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(f"no architecture called {architecture!r}; there are {', '.join(sorted(ARCHITECTURES))}")
    heads = ("own",) if architecture in SEGMENTERS else ("own", *HEADS)
    if head not in heads:
        raise ValueError(f"no head called {head!r} for {architecture}; there are {', '.join(heads)}")
    if architecture in SEGMENTERS:
        return SEGMENTERS[architecture](num_classes=num_classes, dtype=dtype, **settings)
    backbone = BACKBONES[architecture]
    top = HEADS[backbone.head if head == "own" else head](num_classes=num_classes, dtype=dtype)
    return Classifier(backbone.build(dtype=dtype, **settings), top)


def find_initializer(module: nn.Module, name: str) -> Initializer:
    """Return the initializer called `name` for a network.

    Args:
        module: of `build`.
        name: a key of `initializers.INITIALIZERS`, or "torchvision" for a backbone that torchvision has.

    Raises:
        ValueError: no such initializer, or torchvision does not have the network.
    """
    if name == "torchvision":
        network = type(getattr(module, "backbone", module))
        if network not in _FAMILIES:
            raise ValueError(f"initializer=torchvision: torchvision has no {network.__name__}; choose another")
        return initializers.TORCHVISION[_FAMILIES[network]]
    if name not in initializers.INITIALIZERS:
        known = ", ".join([*initializers.INITIALIZERS, "torchvision"])
        raise ValueError(f"no initializer called {name!r}; there are {known}")
    return initializers.INITIALIZERS[name]


def init_fn(
    module: nn.Module, side: int, channels: int, initializer: Initializer = HE_NORMAL
) -> Callable[[Array], dict[str, Any]]:
    """Return a function that draws the variables of a network.

    Args:
        module: of `build`.
        side: of the pictures that it reads, in pixels, about.
        channels: of these pictures.
        initializer: of its kernels and biases.

    Returns:
        Key -> random weights `{"params": …, "batch_stats": …}`, float32; no statistics where there is no batch norm.
    """

    def initialise(key: Array) -> dict[str, Any]:
        with initializers.use(initializer):
            variables = module.init(key, jnp.zeros((1, side, side, channels)), train=False)
        return {collection: variables.get(collection, {}) for collection in COLLECTIONS}

    return initialise


def init_unoptimized(initialise: Callable[[Array], dict[str, Any]], key: Array) -> dict[str, Any]:
    """Run what is run once: not optimised, which takes FC-DenseNet103 three times as long as all this."""
    return jax.jit(initialise, compiler_options={"xla_backend_optimization_level": 0})(key)


def precompute_kernels(variables: Mapping[str, Any]) -> dict[str, Any]:
    """A network's variables with what its convolutions need of them made once, before a loop over what it is shown.

    Without gradient: what is learned must not go through it. The outputs are those of the variables themselves.
    """
    kernels = flatten_dict(variables["params"])
    prepared = {path: conv2d.precompute_kernels(kernel) for path, kernel in kernels.items() if path[-1] == "kernel"}
    return {**variables, "prepared": unflatten_dict({path: one for path, one in prepared.items() if one is not None})}


def accepts_gray(module: nn.Module) -> bool:
    """Whether all that a network does with its input's channels is to convolve them.

    It then takes `Grey` for a picture, and its first kernel can be summed over them.
    """
    return not isinstance(getattr(module, "backbone", module), PreActResNet | UNetResNet)


def extract_features(module: nn.Module, variables: Mapping[str, Any], x: Array) -> Array:
    """What a classifier's backbone sees: float [N, H, W, C] -> last feature map float32 [N, h, w, C']."""
    return module.apply(variables, x, method="look")


def apply_head(module: nn.Module, variables: Mapping[str, Any], features: Array) -> Array:
    """What a classifier's head makes of it: float [N, h, w, C'] -> logits float32 [N, K]."""
    return module.apply(variables, features, method="decide")


def cam_kernel(module: nn.Module, variables: Mapping[str, Any]) -> Array | None:
    """Kernel [C', K] of a head that is a global mean and one linear layer; None of any other head."""
    return variables["params"]["head"]["linear_0"]["kernel"] if module.head.is_linear else None


@cache
def feature_map_size(module: nn.Module, size: int, channels: int) -> int:
    """Cells a side of the last feature map of a classifier's backbone, margins included, for `size` pixels a side."""
    run = partial(module.backbone.init_with_output, jax.random.key(0), train=False)
    return jax.eval_shape(run, jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32))[0].shape[1]


def output_stride(module: nn.Module, channels: int) -> int:
    """Pixels from one of these cells to the next: a power of two, for backbones halve and do nothing else."""
    return 2 ** round(math.log2(1024 / feature_map_size(module, 1024, channels)))


def count_parameters(variables: Mapping[str, Any]) -> int:
    """How many numbers are learned (running statistics of batch norm not counted)."""
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
