"""Networks by name, and the functions through which the rest of the package uses them.

No other module refers to the class of a network.
"""

import math
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array

from cxrjax.models import initializers
from cxrjax.models.classifier import HEADS, Classifier
from cxrjax.models.cpu.switch import kernels
from cxrjax.models.densenet import DenseNet
from cxrjax.models.fc_densenet import FCDenseNet
from cxrjax.models.initializers import HE_NORMAL as HE_NORMAL
from cxrjax.models.initializers import Initializer as Initializer
from cxrjax.models.layers.precision import float32_precision
from cxrjax.models.preact_resnet import PreActResNet
from cxrjax.models.resnet import ResNet
from cxrjax.models.small_cnn import SmallCNN, TwoLayerCNN
from cxrjax.models.unet import UNet
from cxrjax.models.unet_resnet import UNetResNet
from cxrjax.models.vgg import VGG

# Jegou et al. 2017, tables 1 and 2; `fc_densenet29`, numbered in the same way, is our small one for the phantom.
# `fc_densenet103_oh2020` is `fc_densenet103` under the name of the weights of Oh et al.
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
    """A backbone and the head that it was published with."""

    build: Any  # keyword arguments -> module
    head: str = "linear"  # key of `classifier.HEADS`


# He et al. 2016, table 1; Huang et al. 2017, table 1; Simonyan & Zisserman 2015, table 1 (A, D, E); the small CNNs of
# the reimplemented projects; and our small ResNets for the phantom and the audit.
BACKBONES = {
    "resnet6": BackboneEntry(partial(ResNet, stages=(1, 1))),
    "resnet6_narrow": BackboneEntry(partial(ResNet, stages=(1, 1), width=24)),
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

# Class of a backbone that torchvision has -> its key in `initializers.TORCHVISION`.
_FAMILIES = {ResNet: "resnet", DenseNet: "densenet", VGG: "vgg"}

# Class of a network that reads its input by a convolution -> path of that convolution in its parameters.
_FIRST_CONV = {
    ResNet: ("conv1",),
    DenseNet: ("conv0",),
    VGG: ("features_0",),
    SmallCNN: ("conv_0_0",),
    TwoLayerCNN: ("cnn_layers_0",),
    FCDenseNet: ("stem",),
    UNet: ("inc", "conv_0"),
}

# Collections of a network's variables.
COLLECTIONS = ("params", "batch_stats")


def create(
    architecture: str, num_classes: int, *, head: str = "own", dtype: Any = "float32", **settings: Any
) -> nn.Module:
    """Create a network without weights.

    Args:
        architecture: one of ARCHITECTURES.
        num_classes: number of labels of a pixel (SEGMENTERS) or of classes of an image (BACKBONES).
        head: key of `classifier.HEADS`, or "own" for the head that the backbone was published with. Segmenters take
            "own" only.
        dtype: type in which the network computes.
        **settings: attributes of the segmenter or the backbone to override, such as `dropout`.

    Returns:
        A module with `init(key, x, train)` and `apply(variables, x, train)`, x float [N, H, W, C].

    Raises:
        ValueError: the architecture or the head does not exist.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(f"no architecture called {architecture!r}; there are {', '.join(sorted(ARCHITECTURES))}")
    heads = ("own",) if architecture in SEGMENTERS else ("own", *HEADS)
    if head not in heads:
        raise ValueError(f"no head called {head!r} for {architecture}; there are {', '.join(heads)}")
    if architecture in SEGMENTERS:
        return SEGMENTERS[architecture](num_classes=num_classes, dtype=dtype, **settings)
    entry = BACKBONES[architecture]
    build_head = HEADS[entry.head if head == "own" else head]
    return Classifier(entry.build(dtype=dtype, **settings), build_head(num_classes=num_classes, dtype=dtype))


def find_initializer(module: nn.Module, name: str) -> Initializer:
    """Return the initializer called `name` for a network.

    Args:
        module: network returned by `create`.
        name: a key of `initializers.INITIALIZERS`, or "torchvision" for a backbone that torchvision has.

    Raises:
        ValueError: the initializer does not exist, or torchvision does not have the network.
    """
    if name == "torchvision":
        architecture = type(getattr(module, "backbone", module))
        if architecture not in _FAMILIES:
            raise ValueError(f"initializer=torchvision: torchvision has no {architecture.__name__}; choose another")
        return initializers.TORCHVISION[_FAMILIES[architecture]]
    if name not in initializers.INITIALIZERS:
        choices = ", ".join([*initializers.INITIALIZERS, "torchvision"])
        raise ValueError(f"no initializer called {name!r}; there are {choices}")
    return initializers.INITIALIZERS[name]


def init_fn(
    module: nn.Module, size: int, channels: int, initializer: Initializer = HE_NORMAL
) -> Callable[[Array], dict[str, Any]]:
    """Return a function that draws the variables of a network.

    Args:
        module: network returned by `create`.
        size: approximate side of its input in pixels.
        channels: channels of its input.
        initializer: initializer of the kernels and biases.

    Returns:
        A function: random key -> `{"params": …, "batch_stats": …}`, float32. The statistics are {} if the network has
        no batch norm.
    """

    def init(key: Array) -> dict[str, Any]:
        with initializers.use(initializer):
            variables = module.init(key, jnp.zeros((1, size, size, channels)), train=False)
        return {collection: variables.get(collection, {}) for collection in COLLECTIONS}

    return init


def init_unoptimized(init: Callable[[Array], dict[str, Any]], key: Array) -> dict[str, Any]:
    """Run an initializer of variables compiled without optimization.

    It runs only once, and optimizing it would triple the time for FC-DenseNet103.
    """
    return jax.jit(init, compiler_options={"xla_backend_optimization_level": 0})(key)


def precompute_kernels(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Add the transformed kernels of Winograd convolutions to a network's variables, for reuse over many batches.

    The network's outputs are the same with and without them. No gradient flows through them. Kernels in NumPy's arrays
    are transformed by NumPy.
    """
    transformed = {}
    params = cast(dict[tuple[str, ...], Array], flatten_dict(variables["params"]))
    for path, parameter in params.items():
        kernel = kernels().transform_kernel(parameter) if path[-1] == "kernel" else None
        if kernel is not None:
            transformed[path] = kernel
    return {**variables, "prepared": unflatten_dict(transformed)}


def accepts_gray(module: nn.Module) -> bool:
    """Return whether a convolution is the first and only layer to read a network's input, as `fold_gray` requires."""
    return type(getattr(module, "backbone", module)) in _FIRST_CONV


def fold_gray(module: nn.Module, variables: Mapping[str, Any], weights: Array) -> dict[str, Any]:
    """Fold a linear map of the input's channels into a network's first convolution.

    Args:
        module: network that `accepts_gray`.
        variables: its variables, for C channels.
        weights: float [C, G]; channel c of the image that the network reads is the sum over g of `weights[c, g]` times
            channel g of the image that it is given from now on.

    Returns:
        Variables of the same network for G channels.
    """
    params = cast(dict[tuple[str, ...], Array], flatten_dict(variables["params"]))
    prefix = ("backbone",) if hasattr(module, "backbone") else ()
    path = (*prefix, *_FIRST_CONV[type(getattr(module, "backbone", module))], "kernel")
    precision = float32_precision(params[path].dtype)
    params[path] = jnp.einsum("ijcf,cg->ijgf", params[path], weights, precision=precision)  # [k, k, G, F]
    return {**variables, "params": unflatten_dict(params)}


def extract_features(module: nn.Module, variables: Mapping[str, Any], x: Array) -> Array:
    """Run a classifier's backbone in inference: float [N, H, W, C] -> last feature map float32 [N, h, w, C'].

    `Classifier.crop_border` cells are cut off each side.
    """
    backbone = {collection: tree["backbone"] for collection, tree in variables.items() if "backbone" in tree}
    return module.crop(kernels().apply_backbone(module.backbone, backbone, x))


def apply_head(module: nn.Module, variables: Mapping[str, Any], features: Array) -> Array:
    """Run a classifier's head: float [N, h, w, C'] -> logits float32 [N, K]."""
    return cast(Array, module.apply(variables, features, method="apply_head"))


def cam_kernel(module: nn.Module, variables: Mapping[str, Any]) -> Array | None:
    """Return the kernel [C', K] of a head of global average pooling and one linear layer; None for other heads."""
    return variables["params"]["head"]["linear_0"]["kernel"] if module.head.is_linear else None


@cache
def feature_map_size(module: nn.Module, size: int, channels: int) -> int:
    """Return the cells per side of a backbone's last feature map, uncropped, for an input of `size` pixels per side."""
    run = partial(module.backbone.init_with_output, jax.random.key(0), train=False)
    return jax.eval_shape(run, jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32))[0].shape[1]


def output_stride(module: nn.Module, channels: int) -> int:
    """Return the pixels between neighboring cells of the last feature map: a power of two, as all strides are 2."""
    return 2 ** round(math.log2(1024 / feature_map_size(module, 1024, channels)))


def count_parameters(variables: Mapping[str, Any]) -> int:
    """Count the trainable parameters; the running statistics of batch norm are not counted."""
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
