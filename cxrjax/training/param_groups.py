"""Parameter groups with their own learning rates, frozen parameters, and the phases of a training.

A group is a regular expression and a multiplier of the learning rate. It holds the parameters whose path, such as
"backbone/layer1_0/conv1/kernel", begins with a match of the expression. The first matching group applies; parameters
without a group have the multiplier 1. The multiplier 0 freezes a group.
"""

import re
from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import optax

ParamGroups = Sequence[tuple[str, float]]


class TrainingPhase(NamedTuple):
    """Range of training steps with the same trainable parameters and its own optimizer."""

    start_step: int
    param_groups: ParamGroups
    lr_scale: float  # multiplies the learning rate


def plan_phases(groups: ParamGroups, unfreeze_step: int, lr_scale: float) -> list[TrainingPhase]:
    """Return the phases of a training: one, or two where the frozen groups are unfrozen at a step other than 0.

    Args:
        groups: parameter groups of the first phase; the second phase drops the frozen ones.
        unfreeze_step: first step of the second phase, 0 for none.
        lr_scale: multiplier of the learning rate in the second phase (1/10 in the original, hieu2695
            `resnet34_cs_full.py`).

    Raises:
        ValueError: there is a second phase, and nothing is frozen in the first.
    """
    if unfreeze_step and all(multiplier for _, multiplier in groups):
        raise ValueError("training.unfreeze_epoch is set, but no group of training.param_groups is frozen")
    phases = [TrainingPhase(0, groups, 1.0)]
    if unfreeze_step:
        phases.append(TrainingPhase(unfreeze_step, [group for group in groups if group[1]], lr_scale))
    return phases


def phase_at(phases: Sequence[TrainingPhase], step: int) -> TrainingPhase:
    """Return the phase of a step, counted from 0."""
    return [phase for phase in phases if phase.start_step <= step][-1]


def lr_multiplier(path: str, groups: ParamGroups) -> float:
    """Return the multiplier of the learning rate for the parameter at a path."""
    return float(next((multiplier for pattern, multiplier in groups if re.match(pattern, path)), 1.0))


def apply_param_groups(optimizer: optax.GradientTransformation, groups: ParamGroups) -> optax.GradientTransformation:
    """Return an optimizer that scales the updates of each group; frozen parameters have no state and do not change.

    Raises (when it is initialized):
        ValueError: a pattern matches no parameter.
    """
    if not groups:
        return optimizer
    multipliers = {1.0, *(float(multiplier) for _, multiplier in groups)}
    transforms: dict[Hashable, optax.GradientTransformation] = {
        str(multiplier): optax.chain(optimizer, optax.scale(multiplier)) if multiplier else optax.set_to_zero()
        for multiplier in multipliers
    }
    return optax.multi_transform(transforms, partial(_label_params, groups=groups))


def is_frozen(groups: ParamGroups, layer: str) -> bool:
    """Return whether the bias of the layer at a path is frozen; for a batch norm, this means the layer is frozen."""
    return not lr_multiplier(f"{layer}/bias", groups)


def _label_params(params: Any, groups: ParamGroups) -> Any:
    """Return the pytree of the multipliers of all parameters, as text."""
    path_tree = jax.tree_util.tree_map_with_path(lambda path, _: "/".join(str(key.key) for key in path), params)
    paths = jax.tree.leaves(path_tree)
    for pattern, _ in groups:
        if not any(re.match(pattern, path) for path in paths):
            raise ValueError(
                f"training.param_groups: {pattern!r} matches no parameter; there are {paths[0]} … {paths[-1]}"
            )
    return jax.tree.map(lambda path: str(lr_multiplier(path, groups)), path_tree)
