"""Other names under which the weights of the same networks are published, turned into those of `names`."""

import re
from collections.abc import Mapping

import numpy as np

from cxrjax.pretrained import key_map

State = dict[str, np.ndarray]

_KERAS_LEAVES = {"kernel": "weight", "gamma": "weight", "beta": "bias", "bias": "bias",
                 "moving_mean": "running_mean", "moving_variance": "running_var"}  # fmt: skip


def translate(architecture: str, state: Mapping[str, np.ndarray]) -> State:
    """Weights by the names and in the layouts of `names`, whoever published them.

    Args:
        architecture: of `cxrjax.models.registry.ARCHITECTURES`.
        state: weights by name, of PyTorch (torchvision in old or new spelling, timm, the projects' own) or, for the
            architectures of manastahir, of Keras (`LAYER/kernel:0`).

    Returns:
        What is left to compare with the network; counters of batches are dropped.
    """
    state = {name: np.asarray(value) for name, value in state.items() if not name.endswith("num_batches_tracked")}
    if architecture.endswith("_keras") and any("/" in name for name in state):
        return _from_keras(architecture, state)
    if architecture.startswith("densenet"):  # torchvision's files say norm.1 where its code says norm1
        state = {re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)", r"\1\2", name): value for name, value in state.items()}
    if architecture.startswith("vgg") and "pre_logits.fc1.weight" in state:
        return _from_timm_vgg(state)
    head = key_map.key_map(architecture).head
    if f"{head}.0.weight" in state and f"{head}.3.weight" not in state:  # hieu2695's list of one linear layer
        state = {name.replace(f"{head}.0.", f"{head}."): value for name, value in state.items()}
    return state


def _from_timm_vgg(state: State) -> State:
    """timm writes the first linear layers as convolutions of the 7x7 map."""
    places = {"pre_logits.fc1": "classifier.0", "pre_logits.fc2": "classifier.3", "head.fc": "classifier.6"}
    renamed = {}
    for name, value in state.items():
        module, _, leaf = name.rpartition(".")
        if module in places and leaf == "weight" and value.ndim == 4:
            value = value.reshape(len(value), -1)
        renamed[f"{places.get(module, module)}.{leaf}"] = value
    return renamed


def _from_keras(architecture: str, state: State) -> State:
    """Keras's weights, `[…/]LAYER/LEAF[:0]`, convolutions [kh, kw, C, F], transposed ones [kh, kw, F, C]."""
    layers: dict[str, State] = {}
    for name, value in state.items():
        layer, _, leaf = name.removesuffix(":0").rpartition("/")
        layer = layer.rpartition("/")[2]
        layers.setdefault(layer, {})[leaf] = value
    if architecture.startswith("fc_densenet"):
        layers = _number(layers)
    elif "fc1" in layers and "predictions" in layers:  # two linear layers with nothing between are one
        joined = _join_linear(layers["fc1"], layers["predictions"])
        if joined is not None:
            del layers["fc1"]
            layers["predictions"] = joined
    renamed = {}
    for layer, leaves in layers.items():
        module = re.sub(r"^(stage\d+_unit\d+)_", r"\1.", layer)
        for leaf, value in leaves.items():
            value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
            renamed[f"{module}.{_KERAS_LEAVES.get(leaf, leaf)}"] = value
    return renamed


def _join_linear(first: State, second: State) -> State | None:
    """Return one linear layer that does what two do, one after the other; None where they do not fit together."""
    parts = [layer.get(leaf, np.zeros(())) for layer in (first, second) for leaf in ("kernel", "bias")]
    kernel, bias, next_kernel, next_bias = parts
    if [part.ndim for part in parts] != [2, 1, 2, 1]:
        return None
    if not (kernel.shape[1] == len(bias) == len(next_kernel) and next_kernel.shape[1] == len(next_bias)):
        return None
    return {"kernel": kernel @ next_kernel, "bias": bias @ next_kernel + next_bias}


def _number(layers: dict[str, State]) -> dict[str, State]:
    """Layers that Keras has numbered as they were made, by the names of the FC-DenseNet103 that they make up.

    The original makes one more norm and convolution than it uses, behind the bottleneck; Keras does not save them.
    """
    kinds = {"conv2d": "conv", "batch_normalization": "norm", "conv2d_transpose": "convTrans"}
    made: dict[str, list[tuple[int, str]]] = {kind: [] for kind in kinds.values()}
    named = {}
    for layer in layers:
        match = re.fullmatch(r"(.+?)(?:_(\d{1,9}))?", layer)
        if match and match[1] in kinds:
            made[kinds[match[1]]].append((int(match[2] or 0), layer))
        else:
            named[layer] = layers[layer]
    places = _order_of_fc_densenet103()
    for kind, numbered in made.items():
        for i, (_, layer) in enumerate(sorted(numbered)):
            place = places[kind][i] if i < len(places[kind]) else layer
            named[place] = layers[layer]
    return named


def _order_of_fc_densenet103() -> dict[str, list[str]]:
    """Names of its convolutions, norms and transposed convolutions, each kind in the order of the data's way."""
    down, bottleneck = (4, 5, 7, 10, 12), 15
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
