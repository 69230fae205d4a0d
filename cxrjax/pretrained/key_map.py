"""Names and layouts of our weights in the state dicts of the original PyTorch networks."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

Path = tuple[str, ...]  # of a weight in our variables, such as ("params", "backbone", "conv1", "kernel")


class KeyMap(NamedTuple):
    """Names of the modules of an original network."""

    first: str  # the first convolution
    head: str  # the linear layers of a classifier, or the last convolution of a segmenter
    # (pattern, replacement) applied in order to the dotted path of our module, whose indices are split off ("layer1_0"
    # is "layer1.0").
    rules: tuple[tuple[str, str], ...] = ()


# By prefix of the architecture's name; the longest matching prefix counts.
_KEY_MAPS = {
    "resnet": KeyMap("conv1", "fc"),
    "resnet18_keras": KeyMap("conv0", "predictions"),
    "densenet": KeyMap(
        "features.conv0",
        "classifier",
        ((r"^", "features."), (r"_denselayer", ".denselayer"), (r"(transition\d)_", r"\1.")),
    ),
    "vgg": KeyMap("features.0", "classifier"),
    "hieu2695_baseline": KeyMap("cnn_layers.0", "linear_layers.0"),
    "fsarshad_cnn": KeyMap("conv.0.0", "dense"),
    "fc_densenet": KeyMap(
        "firstconv",
        "finalConv",
        (
            (r"^stem$", "firstconv"),
            (r"^bottleneck", "bottleneck.bottleneck"),
            (r"^down\b", "denseBlocksDown"),
            (r"^up\b", "denseBlocksUp"),
            (r"\.layer\.", ".layers."),
            (r"^transition_down\.(\d+)\.mix", r"transDownBlocks.\1"),
            (r"^transition_up\.(\d+)", r"transUpBlocks.\1.convTrans"),
        ),
    ),
    "unet": KeyMap(  # milesial/Pytorch-UNet
        "inc.double_conv.0",
        "outc.conv",
        (
            (r"^inc\.", "inc.double_conv."),
            (r"^(down\d)\.", r"\1.maxpool_conv.1.double_conv."),
            (r"^(up\d)\.", r"\1.conv.double_conv."),
            (r"^(up\d)_upsample", r"\1.up"),
            (r"_conv\.conv\.0$", "_conv.0"),
            (r"_conv\.norm\.0$", "_conv.1"),
            (r"_conv\.conv\.1$", "_conv.3"),
            (r"_conv\.norm\.1$", "_conv.4"),
        ),
    ),
    "unet_resnet": KeyMap(  # fastai's DynamicUnet, a list of layers: encoder, norm, ReLU, middle, four up blocks, …
        "layers.0.0",
        "layers.12.0",
        (
            (r"^encoder\.conv1", "layers.0.0"),
            (r"^encoder\.bn1", "layers.0.1"),
            *((rf"^encoder\.layer{i}", f"layers.0.{i + 3}") for i in range(1, 5)),
            (r"^norm", "layers.1"),
            (r"^middle\.(\d)", r"layers.3.\1.0"),
            *((rf"^up\.{i}", f"layers.{i + 4}") for i in range(4)),
            (r"^(layers\.\d)\.shuffle", r"\1.shuf.0.0"),
            (r"^(layers\.\d)\.norm", r"\1.bn"),
            (r"^(layers\.\d)\.conv\.0", r"\1.conv1.0"),
            (r"^(layers\.\d)\.conv\.1", r"\1.conv2.0"),
            (r"^shuffle", "layers.8.0.0"),
            (r"^cross\.(\d)", r"layers.11.convpath.\1.0"),
        ),
    ),
}
# Number of linear layers in a head -> suffix of each: they are in a list that also contains ReLU and dropout; the last
# two of the four layers of hieu2695's VGG are in a list within torchvision's.
_LINEAR_SUFFIXES = {1: ("",), 2: (".0", ".3"), 3: (".0", ".3", ".6"), 4: (".0", ".3", ".6.0", ".6.3")}
_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def key_map(architecture: str) -> KeyMap:
    """Return the names of the modules of an architecture's original."""
    return _KEY_MAPS[max((prefix for prefix in _KEY_MAPS if architecture.startswith(prefix)), key=len)]


def original_names(architecture: str, paths: Iterable[Path]) -> dict[Path, str]:
    """Return the name of each of our weights in the original.

    Args:
        architecture: one of `cxrjax.models.registry.ARCHITECTURES`.
        paths: paths of all weights of the network.

    Returns:
        Path -> name; all names differ.
    """
    paths = list(paths)
    original = key_map(architecture)
    num_linear = len({path[2] for path in paths if is_in_head(path) and path[2].startswith("linear")})

    def name(path: Path) -> str:
        module = [part for part in path[1:-1] if part != "backbone"]
        if not is_in_head(path):
            dotted = re.sub(r"_(\d+)", r".\1", ".".join(module))
            for pattern, replacement in original.rules:
                dotted = re.sub(pattern, replacement, dotted)
        elif len(module) == 1:
            dotted = original.head
        else:
            layer_type, _, number = module[1].partition("_")
            is_linear = layer_type == "linear"
            suffix = _LINEAR_SUFFIXES[num_linear][int(number)] if is_linear else f".{layer_type}.{number}"
            dotted = original.head + suffix
        return f"{dotted}.{_LEAVES[path[-1]]}"

    return {path: name(path) for path in paths}


def is_in_head(path: Path) -> bool:
    """Return whether one of our weights belongs to the linear layers or to a segmenter's last convolution."""
    return path[1] == "head"


def head_layer(path: Path) -> int:
    """Return the number of the layer of the head that one of our weights belongs to; 0 for a single convolution."""
    return int(path[2].rpartition("_")[2]) if len(path) > 3 else 0


def to_original(path: Path, value: np.ndarray) -> np.ndarray:
    """Transpose our weight to PyTorch's layout.

    Convolutions are [F, C, kh, kw] there, transposed convolutions [C, F, kh, kw], linear layers [F, C].
    """
    if value.ndim == 4:
        return value.transpose((2, 3, 0, 1) if _is_transposed(path) else (3, 2, 0, 1))
    return value.T


def from_original(path: Path, value: np.ndarray) -> np.ndarray:
    """Transpose a weight from PyTorch's layout to ours: the inverse of `to_original`."""
    if value.ndim == 4:
        return value.transpose((2, 3, 0, 1) if _is_transposed(path) else (2, 3, 1, 0))
    return value.T


def _is_transposed(path: Path) -> bool:
    return "transition_up" in path[-2] or "upsample" in path[-2]
