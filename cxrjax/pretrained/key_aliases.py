"""Other naming schemes under which the same weights are published, and their translation to that of `key_map`."""

import re
from collections.abc import Mapping

import numpy as np

from cxrjax.pretrained import key_map

State = dict[str, np.ndarray]

_OPERATING_POINTS = "op_threshs"  # buffer of torchxrayvision's networks; NaN where an output has none
_NO_OPERATING_POINT = 0.5

_KERAS_LEAVES = {"kernel": "weight", "gamma": "weight", "beta": "bias", "bias": "bias",
                 "moving_mean": "running_mean", "moving_variance": "running_var"}  # fmt: skip


def translate(architecture: str, state: Mapping[str, np.ndarray]) -> State:
    """Rename published weights to the names, and transpose them to the layouts, of `key_map`.

    Args:
        architecture: one of `cxrjax.models.registry.ARCHITECTURES`.
        state: weights by name, from PyTorch (torchvision in old or new spelling, timm, the original projects) or, for
            the architectures of manastahir, from Keras (`LAYER/kernel:0`).

    Returns:
        The weights; counters of batches and operating points are dropped.
    """
    state = {
        name: np.asarray(value)
        for name, value in state.items()
        if not name.endswith("num_batches_tracked") and name != _OPERATING_POINTS
    }
    if architecture.endswith("_keras") and any("/" in name for name in state):
        return _from_keras(architecture, state)
    if architecture.startswith("densenet"):  # torchvision's files have norm.1 for norm1 of its code
        state = {name.removeprefix("densenet121."): value for name, value in state.items()}  # of CheXNet's wrapper
        state = {re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)", r"\1\2", name): value for name, value in state.items()}
    if architecture.startswith("vgg") and "pre_logits.fc1.weight" in state:
        return _from_timm_vgg(state)
    head = key_map.key_map(architecture).head
    if f"{head}.0.weight" in state and f"{head}.3.weight" not in state:  # hieu2695's list of one linear layer
        state = {name.replace(f"{head}.0.", f"{head}."): value for name, value in state.items()}
    return state


def read_operating_points(state: Mapping[str, np.ndarray]) -> list[float]:
    """Return the operating point of each output of torchxrayvision's networks; [] of other weights.

    Returns:
        Probabilities in 0..1; 0.5 where an output has none.
    """
    points = np.asarray(state.get(_OPERATING_POINTS, ()), np.float64)
    if points.ndim != 1 or not np.all(np.isnan(points) | ((points >= 1e-6) & (points <= 1 - 1e-6))):
        return []
    return np.nan_to_num(points, nan=_NO_OPERATING_POINT).tolist()


def _from_timm_vgg(state: State) -> State:
    """Rename the linear layers of timm's VGG, of which timm stores the first as a convolution of the 7x7 map."""
    modules = {"pre_logits.fc1": "classifier.0", "pre_logits.fc2": "classifier.3", "head.fc": "classifier.6"}
    renamed = {}
    for name, value in state.items():
        module, _, leaf = name.rpartition(".")
        if module in modules and leaf == "weight" and value.ndim == 4:
            value = value.reshape(len(value), -1)
        renamed[f"{modules.get(module, module)}.{leaf}"] = value
    return renamed


def _from_keras(architecture: str, state: State) -> State:
    """Rename the weights of Keras, `[…/]LAYER/LEAF[:0]`: convolutions [kh, kw, C, F], transposed [kh, kw, F, C]."""
    layers: dict[str, State] = {}
    for name, value in state.items():
        layer, _, leaf = name.removesuffix(":0").rpartition("/")
        layer = layer.rpartition("/")[2]
        layers.setdefault(layer, {})[leaf] = value
    if architecture.startswith("fc_densenet"):
        layers = _rename_fc_densenet103(layers)
    elif "fc1" in layers and "predictions" in layers:  # two linear layers without an activation between are one
        merged = _merge_linear(layers["fc1"], layers["predictions"])
        if merged is not None:
            del layers["fc1"]
            layers["predictions"] = merged
    renamed = {}
    for layer, leaves in layers.items():
        module = re.sub(r"^(stage\d+_unit\d+)_", r"\1.", layer)
        for leaf, value in leaves.items():
            value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
            renamed[f"{module}.{_KERAS_LEAVES.get(leaf, leaf)}"] = value
    return renamed


def _merge_linear(first: State, second: State) -> State | None:
    """Return the composition of two linear layers; None if their shapes do not match."""
    missing = np.zeros(())
    kernel = first.get("kernel", missing)
    bias = first.get("bias", missing)
    next_kernel = second.get("kernel", missing)
    next_bias = second.get("bias", missing)
    if (kernel.ndim, bias.ndim, next_kernel.ndim, next_bias.ndim) != (2, 1, 2, 1):
        return None
    if not (kernel.shape[1] == len(bias) == len(next_kernel) and next_kernel.shape[1] == len(next_bias)):
        return None
    return {"kernel": kernel @ next_kernel, "bias": bias @ next_kernel + next_bias}


def _rename_fc_densenet103(layers: dict[str, State]) -> dict[str, State]:
    """Rename layers that Keras has numbered in the order of their creation to those of FC-DenseNet103.

    The original creates an unused norm and convolution after the bottleneck; Keras does not save them.
    """
    types = {"conv2d": "conv", "batch_normalization": "norm", "conv2d_transpose": "convTrans"}
    numbered: dict[str, list[tuple[int, str]]] = {layer_type: [] for layer_type in types.values()}
    renamed = {}
    for layer in layers:
        match = re.fullmatch(r"(.+?)(?:_(\d{1,9}))?", layer)
        if match and match[1] in types:
            numbered[types[match[1]]].append((int(match[2] or 0), layer))
        else:
            renamed[layer] = layers[layer]
    names = _fc_densenet103_layers()
    for layer_type, created in numbered.items():
        for i, (_, layer) in enumerate(sorted(created)):
            name = names[layer_type][i] if i < len(names[layer_type]) else layer
            renamed[name] = layers[layer]
    return renamed


def _fc_densenet103_layers() -> dict[str, list[str]]:
    """Return the names of the convolutions, norms and transposed convolutions of FC-DenseNet103 in forward order."""
    down = (4, 5, 7, 10, 12)
    bottleneck = 15
    layers = []
    for i, count in enumerate(down):
        layers += [f"denseBlocksDown.{i}.layers.{j}" for j in range(count)] + [f"transDownBlocks.{i}"]
    layers += [f"bottleneck.bottleneck.layers.{j}" for j in range(bottleneck)]
    for i, count in enumerate(reversed(down)):
        layers += [f"denseBlocksUp.{i}.layers.{j}" for j in range(count)]
    return {
        "conv": ["firstconv", *(f"{layer}.conv" for layer in layers), "finalConv"],
        "norm": [f"{layer}.norm" for layer in layers],
        "convTrans": [f"transUpBlocks.{i}.convTrans" for i in range(len(down))],
    }
