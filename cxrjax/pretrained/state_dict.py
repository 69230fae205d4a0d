"""Weights published for other frameworks, by the names of the original's parameters, into our trees and back."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cxrjax.models import registry
from cxrjax.ops import lung_masks
from cxrjax.pretrained import key_aliases, key_map
from cxrjax.runtime.text import SHORT, enumerate_names, printable

# Segmenters that begin with the backbone of a classifier, under the name "encoder".
ENCODERS = {"unet_resnet34": "resnet34"}
_SIDE = 64  # of the pictures that networks are begun with
_MOST_LISTED = 1000  # names of a kind in an error message, more than any network here has arrays
_UNSEEN = 30.0  # how far below the background a label's logit lies that a network does not know: e^-30 is nothing


class WeightMismatchError(ValueError):
    """Weights that do not belong to the architecture; the message lists the differences."""


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
    """Turn the weights of an original network into our variables.

    A segmenter of the lungs alone (one sigmoid output, or two outputs) becomes one of `lung_masks.STRUCTURES` where that
    many labels are asked for: with the same lung probability, shared by left and right, and no heart.

    Weights of a classifier that is the encoder of a segmenter (ENCODERS), such as ImageNet's, become those of its
    encoder where a new head is asked for; all else is then drawn anew.

    Args:
        architecture: of `cxrjax.models.registry.ARCHITECTURES`.
        state: every weight of the original network by its name, in PyTorch's layout (convolutions [F, C, kh, kw],
            transposed ones [C, F, kh, kw], linear layers [F, C]); `num_batches_tracked` is passed over. What else is
            understood: `cxrjax.pretrained.key_aliases`.
        num_classes: outputs of the network that is wanted.
        head: of `cxrjax.models.registry.create`.
        new_head: random key from which the head (and around an encoder, the decoder) is drawn anew, whatever the
            weights have there; None: theirs.
        channels: 1 to have the first convolution read grey, its weights for the colours summed: what it makes of three
            equal channels stays the same. None: as many as the weights have.
        initializer: of what is drawn; a name that `cxrjax.models.registry.find_initializer` knows.

    Returns:
        `{"params": …, "batch_stats": …}`, float32, for `cxrjax.models.registry.create(architecture, num_classes, head=head)`.

    Raises:
        UnfitWeights: names or shapes differ; missing, unexpected and misshapen ones are listed, as the original
            calls them, up to a thousand of a kind. Or a number is not finite, or is
            no floating-point one.
    """
    words = key_map.key_map(architecture)
    if new_head is not None and architecture in ENCODERS and not _is_of(words, state):
        return _init_decoder(architecture, state, num_classes, new_head, channels, initializer)
    state = key_aliases.translate(architecture, state)
    first = f"{words.first}.weight"
    module = registry.create(architecture, num_classes, head=head)
    if channels is not None and first in state and state[first].ndim == 4 and channels != state[first].shape[1]:
        state[first] = _sum_input_channels(architecture, state[first], channels, registry.accepts_gray(module))
    if architecture in registry.SEGMENTERS and num_classes == len(lung_masks.STRUCTURES):
        state |= _expand_lung_head(state, words.head)
    colours = state[first].shape[1] if first in state and state[first].ndim == 4 else 1
    init = registry.init_fn(module, _SIDE, colours, registry.find_initializer(module, initializer))
    flat, structure = jax.tree_util.tree_flatten_with_path(jax.eval_shape(init, jax.random.key(0)))
    shapes = {tuple(key.key for key in path): leaf for path, leaf in flat}
    originals = key_map.original_names(architecture, shapes)
    if new_head is not None:
        state = {name: value for name, value in state.items() if not name.startswith(f"{words.head}.")}
        state |= _draw_head(init, new_head, originals)
    expected = {
        originals[path]: key_map.to_original(path, np.broadcast_to(np.float32(0), leaf.shape)).shape
        for path, leaf in shapes.items()
    }
    _compare(architecture, expected, state)
    _check_types(state)
    _check_finite(state)
    leaves = [jnp.asarray(key_map.to_ours(path, state[originals[path]]), jnp.float32) for path in shapes]
    return jax.tree.unflatten(structure, leaves)


def to_state_dict(architecture: str, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The inverse of `from_state_dict`: our variables as PyTorch's `load_state_dict(strict=True)` wants them.

    Args:
        architecture: of `cxrjax.models.registry.ARCHITECTURES`.
        variables: of a network of that architecture, with any head.

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


def _is_of(words: key_map.KeyMap, state: Mapping[str, np.ndarray]) -> bool:
    """Whether any of the weights has a name such as the original's first convolution has."""
    return any(name.startswith(f"{words.first.partition('.')[0]}.") for name in state)


def _init_decoder(
    architecture: str,
    state: Mapping[str, np.ndarray],
    num_classes: int,
    key: Array,
    channels: int | None,
    initializer: str,
) -> dict[str, Any]:
    """A segmenter with the weights of its encoder, all others drawn from a key."""
    known = from_state_dict(ENCODERS[architecture], state, num_classes=1, new_head=key, channels=channels)
    colours = known["params"]["backbone"]["conv1"]["kernel"].shape[2]
    module = registry.create(architecture, num_classes)
    init = registry.init_fn(module, _SIDE, colours, registry.find_initializer(module, initializer))
    drawn = registry.init_unoptimized(init, key)
    return {
        collection: drawn[collection] | {"encoder": known[collection]["backbone"]}
        for collection in registry.COLLECTIONS
    }


def _draw_head(init: Any, key: Array, originals: Mapping[key_map.Path, str]) -> dict[str, np.ndarray]:
    """Random weights of the head alone, by the original's names."""
    head = registry.init_unoptimized(
        lambda key: {name: tree["head"] for name, tree in init(key).items() if "head" in tree}, key
    )
    flat, _ = jax.tree_util.tree_flatten_with_path(head)
    paths = {(path[0].key, "head", *(key.key for key in path[1:])): leaf for path, leaf in flat}
    return {originals[path]: key_map.to_original(path, np.asarray(leaf)) for path, leaf in paths.items()}


def _sum_input_channels(architecture: str, kernel: np.ndarray, channels: int, sums_channels: bool) -> np.ndarray:
    """A first convolution [F, C, kh, kw] that reads fewer channels."""
    if channels != 1:
        raise WeightMismatchError(
            f"these weights read {kernel.shape[1]} channels: {channels} cannot be made of them, only 1"
        )
    if not sums_channels:
        raise WeightMismatchError(
            f"{architecture} does more with its channels than convolve them: they cannot be summed"
        )
    return kernel.sum(axis=1, keepdims=True)


def _expand_lung_head(state: Mapping[str, np.ndarray], head: str) -> dict[str, np.ndarray]:
    """The last convolution of a segmenter of lungs alone, for the labels background, heart, left lung, right lung."""
    kernel, bias = (state.get(f"{head}.{leaf}", np.zeros(0)) for leaf in ("weight", "bias"))
    if kernel.ndim != 4 or bias.ndim != 1 or len(kernel) not in (1, 2) or len(bias) != len(kernel):
        return {}
    if len(kernel) == 1:  # a sigmoid is a soft-max against a logit of 0
        kernel, bias = np.concatenate([0 * kernel, kernel]), np.concatenate([0 * bias, bias])
    half = np.float32(np.log(2))
    return {
        f"{head}.weight": kernel[[0, 0, 1, 1]],
        f"{head}.bias": bias[[0, 0, 1, 1]] - np.array([0, _UNSEEN, half, half], np.float32),
    }


def _check_types(state: Mapping[str, np.ndarray]) -> None:
    """Raise for whole numbers: those of a quantized network mean nothing without its scales."""
    for name, array in state.items():
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise WeightMismatchError(
                f"the weight {printable(name, SHORT)} is of the type {array.dtype}, as in a quantized network; "
                "save it as float32"
            )


def _check_finite(state: Mapping[str, np.ndarray]) -> None:
    """Raise for a number that is infinite or none, as a float32: one spoils every result of the network."""
    for name, array in state.items():
        with np.errstate(over="ignore"):
            finite = np.isfinite(np.asarray(array, np.float32)).all()
        if not finite:
            raise WeightMismatchError(
                f"the weight {printable(name, SHORT)} holds numbers that are infinite or none (NaN)"
            )


def _compare(architecture: str, expected: Mapping[str, tuple], found: Mapping[str, np.ndarray]) -> None:
    def listed(title: str, lines: list[str]) -> list[str]:
        return [f"{title} ({len(lines)}): {enumerate_names(lines, _MOST_LISTED)}"] if lines else []

    both = expected.keys() & found.keys()
    differences = (
        listed("missing", sorted(expected.keys() - found.keys()))
        + listed("unexpected", sorted(found.keys() - expected.keys()))
        + listed(
            "misshapen",
            sorted(
                f"{name} is {found[name].shape}, should be {expected[name]}"
                for name in both
                if found[name].shape != expected[name]
            ),
        )
    )
    if differences:
        raise WeightMismatchError(f"these weights do not fit {architecture}: " + "; ".join(differences))
