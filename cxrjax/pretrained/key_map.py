"""What our weights are called, and how they lie, in the originals: the state dicts of PyTorch."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

Path = tuple[str, ...]  # in our variables, from the collection down: ("params", "backbone", "conv1", "kernel")


class KeyMap(NamedTuple):
    """How an original names its modules.

    `rules` turn the dotted path of one of ours, its indices split off ("layer1_0" is "layer1.0"), into the original's.
    """

    first: str  # the first convolution
    head: str  # what ends the network: its linear layers, or of a segmenter its last convolution
    rules: tuple[tuple[str, str], ...] = ()


# By the first letters of an architecture's name; of several that fit, the longest.
_NAMINGS = {
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
    "unet_resnet": KeyMap(  # fastai's DynamicUnet, a list of layers: encoder, norm, ReLU, middle, four steps up, …
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
# Number of linear layers in a head -> the place of each: they stand in one list with ReLU and dropout between, and the
# four of hieu2695's VGG in a list within torchvision's.
_PLACES = {1: ("",), 2: (".0", ".3"), 3: (".0", ".3", ".6"), 4: (".0", ".3", ".6.0", ".6.3")}
_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def key_map(architecture: str) -> KeyMap:
    """How the original of an architecture names its modules."""
    return _NAMINGS[max((start for start in _NAMINGS if architecture.startswith(start)), key=len)]


def original_names(architecture: str, paths: Iterable[Path]) -> dict[Path, str]:
    """The original's name of each of our weights.

    Args:
        architecture: of `cxrjax.models.registry.ARCHITECTURES`.
        paths: of all weights of the network.

    Returns:
        Path -> name, one to one.
    """
    paths, words = list(paths), key_map(architecture)
    layers = len({path[2] for path in paths if in_head(path) and path[2].startswith("linear")})

    def name(path: Path) -> str:
        module = [part for part in path[1:-1] if part != "backbone"]
        if not in_head(path):
            dotted = re.sub(r"_(\d+)", r".\1", ".".join(module))
            for pattern, replacement in words.rules:
                dotted = re.sub(pattern, replacement, dotted)
        elif len(module) == 1:
            dotted = words.head
        else:
            kind, _, number = module[1].partition("_")
            dotted = words.head + (_PLACES[layers][int(number)] if kind == "linear" else f".{kind}.{number}")
        return f"{dotted}.{_LEAVES[path[-1]]}"

    return {path: name(path) for path in paths}


def in_head(path: Path) -> bool:
    """Whether one of our weights belongs to the head: the linear layers, or a segmenter's last convolution."""
    return path[1] == "head"


def to_original(path: Path, value: np.ndarray) -> np.ndarray:
    """Our weight in PyTorch's layout: convolutions [F, C, kh, kw], transposed ones [C, F, kh, kw], linear [F, C]."""
    if value.ndim == 4:
        return value.transpose((2, 3, 0, 1) if _is_transposed(path) else (3, 2, 0, 1))
    return value.T


def to_ours(path: Path, value: np.ndarray) -> np.ndarray:
    """The inverse of `to_original`."""
    if value.ndim == 4:
        return value.transpose((2, 3, 0, 1) if _is_transposed(path) else (2, 3, 1, 0))
    return value.T


def _is_transposed(path: Path) -> bool:
    return "transition_up" in path[-2] or "upsample" in path[-2]
