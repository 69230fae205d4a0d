"""Weights published for other frameworks, by the names of the original's parameters, into our trees."""

import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cxrjax import models

# Original module path -> ours, where merging an index into the name before it ("layer1.0" -> "layer1_0") is not enough.
_RENAMED = (
    (r"^firstconv\b", "stem"),
    (r"^finalConv\b", "head"),
    (r"^bottleneck\.bottleneck\b", "bottleneck"),
    (r"^denseBlocksDown\b", "down"),
    (r"^denseBlocksUp\b", "up"),
    (r"^transDownBlocks\.(\d+)", r"transition_down.\1.mix"),
    (r"^transUpBlocks\.(\d+)\.convTrans\b", r"transition_up.\1"),
    (r"\.layers\.", ".layer."),
)
_STATISTICS = {"running_mean": "mean", "running_var": "var"}


class UnfitWeights(ValueError):
    """Weights that do not belong to the architecture; the message lists every difference."""


def from_state_dict(architecture: str, state: Mapping[str, np.ndarray], *, num_classes: int) -> dict[str, Any]:
    """Turn a PyTorch state dict into our variables.

    Args:
        architecture: a key of `cxrjax.models.ARCHITECTURES`.
        state: every weight of the original network by its name, in PyTorch's layout (convolutions [F, C, kh, kw],
            transposed ones [C, F, kh, kw], linear layers [F, C]). `num_batches_tracked` is passed over.
        num_classes: outputs of the original network.

    Returns:
        `{"params": …, "batch_stats": …}`, float32, for `cxrjax.models.build(architecture, num_classes)`.

    Raises:
        UnfitWeights: names or shapes differ; all missing, unexpected and misshapen ones are listed.
    """
    converted = dict(_convert(name, np.asarray(value)) for name, value in state.items() if "num_batches" not in name)
    kernels = [value for path, value in converted.items() if path[-1] == "kernel" and value.ndim == 4]
    if not kernels:
        raise UnfitWeights(f"these weights do not fit {architecture}: there is no convolution among them")
    channels = kernels[0].shape[2]
    module = models.build(architecture, num_classes=num_classes)
    expected = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros((1, 64, 64, channels)), train=False))
    flat, structure = jax.tree_util.tree_flatten_with_path({key: expected[key] for key in ("params", "batch_stats")})
    shapes = {tuple(key.key for key in path): leaf.shape for path, leaf in flat}
    _compare(architecture, shapes, converted)
    return jax.tree.unflatten(structure, [jnp.asarray(converted[path], jnp.float32) for path in shapes])


def _convert(name: str, value: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Original name and array -> path in our tree (from its collection down) and array in our layout."""
    module, _, leaf = name.rpartition(".")
    transposed = "convTrans" in module
    for pattern, replacement in _RENAMED:
        module = re.sub(pattern, replacement, module)
    path = tuple(re.sub(r"\.(\d+)", r"_\1", module).split("."))
    if leaf in _STATISTICS:
        return ("batch_stats", *path, _STATISTICS[leaf]), value
    if leaf == "weight":
        leaf = "scale" if value.ndim == 1 else "kernel"
        if value.ndim == 4:
            value = value.transpose((2, 3, 0, 1) if transposed else (2, 3, 1, 0))
        elif value.ndim == 2:
            value = value.T
    return ("params", *path, leaf), value


def _compare(architecture: str, expected: Mapping[tuple, tuple], found: Mapping[tuple, np.ndarray]) -> None:
    def listed(title: str, lines: list[str]) -> list[str]:
        return [f"{title} ({len(lines)}): {', '.join(lines)}"] if lines else []

    both = expected.keys() & found.keys()
    differences = (
        listed("missing", sorted("/".join(path) for path in expected.keys() - found.keys()))
        + listed("unexpected", sorted("/".join(path) for path in found.keys() - expected.keys()))
        + listed(
            "misshapen",
            sorted(
                f"{'/'.join(path)} is {found[path].shape}, should be {expected[path]}"
                for path in both
                if found[path].shape != expected[path]
            ),
        )
    )
    if differences:
        raise UnfitWeights(f"these weights do not fit {architecture}: " + "; ".join(differences))
