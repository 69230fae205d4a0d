"""Which weights learn, how fast, and from when: groups of parameters by their paths, and the phases of a training.

A group is a regular expression and a multiplier of the learning rate. It holds the parameters whose path, as in
"backbone/layer1_0/conv1/kernel", begins with what the expression matches; the first group that matches counts, and
what no group holds has the multiplier 1. The multiplier 0 freezes.
"""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import optax

ParamGroups = Sequence[tuple[str, float]]


class TrainingPhase(NamedTuple):
    """A stretch of a training in which the same weights learn, with an optimiser of its own."""

    first: int  # its first step
    groups: ParamGroups
    share: float  # of the learning rate


def plan_phases(groups: ParamGroups, unfreeze_step: int, share: float) -> list[TrainingPhase]:
    """One phase; or, where the frozen groups are freed at a step (not 0), two.

    Args:
        groups: of the first phase; in the second, those that are frozen are no groups any more.
        unfreeze_step: first step of the second phase, 0 for none.
        share: of the learning rate in the second phase (1/10 in the original, hieu2695 `resnet34_cs_full.py`).

    Raises:
        ValueError: there is a second phase, and nothing is frozen in the first.
    """
    if unfreeze_step and all(rate for _, rate in groups):
        raise ValueError("training.unfreeze_epoch is set, but no group of training.groups is frozen")
    phases = [TrainingPhase(0, groups, 1.0)]
    if unfreeze_step:
        phases.append(TrainingPhase(unfreeze_step, [group for group in groups if group[1]], share))
    return phases


def phase_at(phases: Sequence[TrainingPhase], step: int) -> TrainingPhase:
    """The phase that a step (counted from 0) belongs to."""
    return [phase for phase in phases if phase.first <= step][-1]


def lr_multiplier(path: str, groups: ParamGroups) -> float:
    """Of the learning rate of the parameter at a path."""
    return float(next((rate for pattern, rate in groups if re.match(pattern, path)), 1.0))


def apply_param_groups(optimiser: optax.GradientTransformation, groups: ParamGroups) -> optax.GradientTransformation:
    """An optimiser that takes each group at its own rate; of frozen parameters it keeps no state, and moves none.

    Raises (when it is initialised):
        ValueError: a pattern matches no parameter.
    """
    if not groups:
        return optimiser
    rates = {1.0, *(float(rate) for _, rate in groups)}
    parts = {str(r): optax.chain(optimiser, optax.scale(r)) if r else optax.set_to_zero() for r in rates}
    return optax.multi_transform(parts, partial(_label, groups=groups))


def is_frozen(groups: ParamGroups, layer: str) -> bool:
    """Whether a layer, by its path, has a bias and that is frozen: a batch norm has."""
    return not lr_multiplier(f"{layer}/bias", groups)


def _label(params: Any, groups: ParamGroups) -> Any:
    named = jax.tree_util.tree_map_with_path(lambda path, _: "/".join(str(key.key) for key in path), params)
    paths = jax.tree.leaves(named)
    for pattern, _ in groups:
        if not any(re.match(pattern, path) for path in paths):
            raise ValueError(f"training.groups: {pattern!r} matches no parameter; there are {paths[0]} … {paths[-1]}")
    return jax.tree.map(lambda path: str(lr_multiplier(path, groups)), named)
