"""Conversion of published weights, by the names of the original's parameters, to our variables and back."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cxrjax.models import registry
from cxrjax.ops import lung_masks
from cxrjax.pretrained import key_aliases, key_map
from cxrjax.runtime.errors import CxrjaxError
from cxrjax.runtime.text import SHORT_LENGTH, enumerate_names, printable

# Segmenter whose encoder is the backbone of a classifier -> that classifier.
ENCODERS = {"unet_resnet34": "resnet34"}
_INPUT_SIZE = 64  # pixels per side of the images with which networks are initialized
_MAX_LISTED = 1000  # names per category in an error message, more than any of our networks has arrays
_LOGIT_GAP = 30.0  # from the background's logit to that of a label without weights; its probability is e^-30


class WeightMismatchError(CxrjaxError, ValueError):
    """Weights that do not match the architecture; the message lists the differences."""


def from_state_dict(
    architecture: str,
    state: Mapping[str, np.ndarray],
    *,
    num_classes: int,
    head: str = "own",
    new_head: Array | None = None,
    channels: int | None = None,
    initializer: str = "he_normal",
) -> dict[str, Any]:
    """Convert the weights of an original network to our variables.

    A segmenter of the lungs only (one sigmoid output, or two outputs) is converted to one of `lung_masks.STRUCTURES` if
    `num_classes` is their number. Its lung probability stays the same and is shared by left and right; the probability
    of the heart is close to 0.

    Weights of a classifier that is the encoder of a segmenter (ENCODERS), such as those of ImageNet, are converted to
    the encoder if `new_head` is given; the rest of the segmenter is then drawn at random.

    Args:
        architecture: one of `cxrjax.models.registry.ARCHITECTURES`.
        state: all weights of the original network by name, in PyTorch's layout (convolutions [F, C, kh, kw], transposed
            ones [C, F, kh, kw], linear layers [F, C]); `num_batches_tracked` is ignored.
            `cxrjax.pretrained.key_aliases` describes the other naming schemes that are accepted.
        num_classes: number of outputs of the network.
        head: argument of `cxrjax.models.registry.create`.
        new_head: random key from which the last layer is drawn instead of taken from the weights, and with it every
            layer of the head from the first that the weights lack or have in another shape (around an encoder, the
            decoder is drawn too); None to take all layers from the weights.
        channels: 1 to sum the weights of the first convolution over the colors, so that it reads gray images with the
            same result as for three equal channels; None for the channels of the weights.
        initializer: initializer of the weights that are drawn, by its name in
            `cxrjax.models.registry.find_initializer`.

    Returns:
        `{"params": …, "batch_stats": …}`, float32, for `cxrjax.models.registry.create(architecture, num_classes,
        head=head)`.

    Raises:
        WeightMismatchError: names or shapes differ (missing, unexpected and misshapen ones are listed by their names in
            the original, up to a thousand per category), a number is not finite, or a type is not floating-point.
    """
    original = key_map.key_map(architecture)
    if new_head is not None and architecture in ENCODERS and not _has_first_layer(original, state):
        return _init_decoder(architecture, state, num_classes, new_head, channels, initializer)
    state = key_aliases.translate(architecture, state)
    first = f"{original.first}.weight"
    module = registry.create(architecture, num_classes, head=head)
    if channels is not None and first in state and state[first].ndim == 4 and channels != state[first].shape[1]:
        state[first] = _sum_input_channels(architecture, state[first], channels, registry.accepts_gray(module))
    if architecture in registry.SEGMENTERS and num_classes == len(lung_masks.STRUCTURES):
        state |= _expand_lung_head(state, original.head)
    in_channels = state[first].shape[1] if first in state and state[first].ndim == 4 else 1
    init = registry.init_fn(module, _INPUT_SIZE, in_channels, registry.find_initializer(module, initializer))
    flat, structure = jax.tree_util.tree_flatten_with_path(jax.eval_shape(init, jax.random.key(0)))
    shapes = {tuple(key.key for key in path): leaf for path, leaf in flat}
    originals = key_map.original_names(architecture, shapes)
    if new_head is not None:
        drawn = _draw_head(init, new_head)
        state = _replace_last_layers(state, original.head, drawn, originals)
    expected = {
        originals[path]: key_map.to_original(path, np.broadcast_to(np.float32(0), leaf.shape)).shape
        for path, leaf in shapes.items()
    }
    _check_names_and_shapes(architecture, expected, state)
    _check_types(state)
    _check_finite(state)
    leaves = [jnp.asarray(key_map.from_original(path, state[originals[path]]), jnp.float32) for path in shapes]
    return jax.tree.unflatten(structure, leaves)


def select_outputs(architecture: str, state: Mapping[str, np.ndarray], outputs: Sequence[int]) -> dict[str, np.ndarray]:
    """Return the weights of a classifier with some of its outputs.

    Args:
        architecture: one of `cxrjax.models.registry.ARCHITECTURES`.
        state: weights as `from_state_dict` takes them; the head is one linear layer.
        outputs: numbers of the outputs, from 0, in their new order.

    Raises:
        WeightMismatchError: the head is not one linear layer with so many outputs.
    """
    state = key_aliases.translate(architecture, state)
    head = key_map.key_map(architecture).head
    weight = state.get(f"{head}.weight", np.zeros(0))
    bias = state.get(f"{head}.bias", np.zeros(0))
    if weight.ndim != 2 or bias.shape != weight.shape[:1] or max(outputs, default=0) >= len(bias):
        raise WeightMismatchError(
            f"the outputs {', '.join(map(str, outputs))} were requested, and the last layer of these weights, {head}, "
            f"has {len(bias)}"
        )
    return state | {f"{head}.weight": weight[list(outputs)], f"{head}.bias": bias[list(outputs)]}


def to_state_dict(architecture: str, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Convert our variables to a state dict for PyTorch's `load_state_dict(strict=True)`; inverse of `from_state_dict`.

    Args:
        architecture: one of `cxrjax.models.registry.ARCHITECTURES`.
        variables: variables of a network of that architecture, with any head.

    Returns:
        Name -> array, float32 in PyTorch's layout, and a counter of batches (int64, 0) for each batch norm.
    """
    flat, _ = jax.tree_util.tree_flatten_with_path({key: variables.get(key, {}) for key in registry.COLLECTIONS})
    weights = {tuple(key.key for key in path): np.asarray(leaf, np.float32) for path, leaf in flat}
    state = {}
    for path, name in key_map.original_names(architecture, weights).items():
        state[name] = np.ascontiguousarray(key_map.to_original(path, weights[path]))
        if name.endswith("running_mean"):
            state[name.replace("running_mean", "num_batches_tracked")] = np.zeros((), np.int64)
    return state


def _has_first_layer(original: key_map.KeyMap, state: Mapping[str, np.ndarray]) -> bool:
    """Return whether any weight has the top-level name of the original's first convolution."""
    return any(name.startswith(f"{original.first.partition('.')[0]}.") for name in state)


def _init_decoder(
    architecture: str,
    state: Mapping[str, np.ndarray],
    num_classes: int,
    key: Array,
    channels: int | None,
    initializer: str,
) -> dict[str, Any]:
    """Return a segmenter whose encoder has the given weights; all other weights are drawn from a key."""
    encoder = from_state_dict(ENCODERS[architecture], state, num_classes=1, new_head=key, channels=channels)
    in_channels = encoder["params"]["backbone"]["conv1"]["kernel"].shape[2]
    module = registry.create(architecture, num_classes)
    init = registry.init_fn(module, _INPUT_SIZE, in_channels, registry.find_initializer(module, initializer))
    variables = registry.init_unoptimized(init, key)
    return {
        collection: variables[collection] | {"encoder": encoder[collection]["backbone"]}
        for collection in registry.COLLECTIONS
    }


def _draw_head(init: Any, key: Array) -> dict[key_map.Path, np.ndarray]:
    """Draw the weights of the head, in the layout of the original."""
    head = registry.init_unoptimized(
        lambda key: {name: tree["head"] for name, tree in init(key).items() if "head" in tree}, key
    )
    flat, _ = jax.tree_util.tree_flatten_with_path(head)
    paths = {(path[0].key, "head", *(key.key for key in path[1:])): leaf for path, leaf in flat}
    return {path: key_map.to_original(path, np.asarray(leaf)) for path, leaf in paths.items()}


def _replace_last_layers(
    state: Mapping[str, np.ndarray],
    head: str,
    drawn: Mapping[key_map.Path, np.ndarray],
    originals: Mapping[key_map.Path, str],
) -> dict[str, np.ndarray]:
    """Return the weights with the last layer of the head drawn, and all layers from the first that does not fit.

    Args:
        state: weights by name, in the layout of the original.
        head: name of the head in the original.
        drawn: result of `_draw_head`.
        originals: result of `key_map.original_names`.
    """
    layers: dict[int, list[key_map.Path]] = {}
    for path in drawn:
        layers.setdefault(key_map.head_layer(path), []).append(path)

    def fits(layer: int) -> bool:
        names = {originals[path]: drawn[path].shape for path in layers[layer]}
        return all(name in state and state[name].shape == shape for name, shape in names.items())

    first_drawn = next(layer for layer in sorted(layers) if layer == max(layers) or not fits(layer))
    kept = {originals[path] for path in drawn if key_map.head_layer(path) < first_drawn}
    replaced = {name: value for name, value in state.items() if name in kept or not name.startswith(f"{head}.")}
    return replaced | {originals[path]: value for path, value in drawn.items() if originals[path] not in kept}


def _sum_input_channels(architecture: str, kernel: np.ndarray, channels: int, accepts_gray: bool) -> np.ndarray:
    """Sum the kernel of a first convolution over its input channels: [F, C, kh, kw] -> [F, 1, kh, kw]."""
    if channels != 1:
        raise WeightMismatchError(
            f"these weights read {kernel.shape[1]} channels, which can be reduced to 1 but not to {channels}"
        )
    if not accepts_gray:
        raise WeightMismatchError(
            f"the first layer of {architecture} is not a convolution: its input channels cannot be summed"
        )
    return kernel.sum(axis=1, keepdims=True)


def _expand_lung_head(state: Mapping[str, np.ndarray], head: str) -> dict[str, np.ndarray]:
    """Convert the last convolution of a segmenter of the lungs only to the labels background, heart, left, right lung.

    Returns:
        The weights of the convolution; {} if it has neither one nor two outputs.
    """
    kernel = state.get(f"{head}.weight", np.zeros(0))
    bias = state.get(f"{head}.bias", np.zeros(0))
    if kernel.ndim != 4 or bias.ndim != 1 or len(kernel) not in (1, 2) or len(bias) != len(kernel):
        return {}
    if len(kernel) == 1:  # a sigmoid is a softmax against a logit of 0
        kernel = np.concatenate([0 * kernel, kernel])
        bias = np.concatenate([0 * bias, bias])
    log_2 = np.float32(np.log(2))  # halves the probability, for the left and the right lung
    return {
        f"{head}.weight": kernel[[0, 0, 1, 1]],
        f"{head}.bias": bias[[0, 0, 1, 1]] - np.array([0, _LOGIT_GAP, log_2, log_2], np.float32),
    }


def _check_types(state: Mapping[str, np.ndarray]) -> None:
    """Raise if an array has an integer type: the weights of a quantized network are useless without its scales."""
    for name, array in state.items():
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise WeightMismatchError(
                f"the weight {printable(name, SHORT_LENGTH)} has the type {array.dtype}, as in a quantized network; "
                "save it as float32"
            )


def _check_finite(state: Mapping[str, np.ndarray]) -> None:
    """Raise if a number is infinite or NaN as float32: it would spoil all results of the network."""
    for name, array in state.items():
        with np.errstate(over="ignore"):
            finite = np.isfinite(np.asarray(array, np.float32)).all()
        if not finite:
            raise WeightMismatchError(f"the weight {printable(name, SHORT_LENGTH)} contains infinite numbers or NaN")


def _check_names_and_shapes(architecture: str, expected: Mapping[str, tuple], state: Mapping[str, np.ndarray]) -> None:
    """Raise if the names or the shapes differ from the expected ones.

    Raises:
        WeightMismatchError: lists all differences.
    """
    misshapen = [
        f"{name} is {state[name].shape}, should be {expected[name]}"
        for name in expected.keys() & state.keys()
        if state[name].shape != expected[name]
    ]
    categories = {
        "missing": expected.keys() - state.keys(),
        "unexpected": state.keys() - expected.keys(),
        "misshapen": misshapen,
    }
    differences = [
        f"{title} ({len(entries)}): {enumerate_names(sorted(entries), _MAX_LISTED)}"
        for title, entries in categories.items()
        if entries
    ]
    if differences:
        raise WeightMismatchError(f"these weights do not fit {architecture}: " + "; ".join(differences))
