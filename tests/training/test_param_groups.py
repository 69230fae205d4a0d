"""Every group of parameters moves by exactly its rate, and frozen parameters do not move."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import unflatten_dict

from cxrjax.models import registry
from cxrjax.models.layers import batch_norm
from cxrjax.training import param_groups

# hieu2695 `resnet34_diff_lr.py`: first layers a tenth, stages a seventh and a third, head the whole.
RATES = ((r"(backbone/)?(conv1|bn1)/", 0.1), (r"(backbone/)?layer1_", 1 / 7), (r"(backbone/)?layer2_", 0.0))


@pytest.fixture(scope="module")
def network():
    module = registry.create("resnet18", 3, width=4, stages=(1, 1))
    x = jax.random.normal(jax.random.key(1), (8, 32, 32, 1))
    return module, jax.jit(module.init, static_argnames="train")(jax.random.key(0), x, train=False), x


def by_path(tree):
    return {"/".join(key.key for key in path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def test_every_group_moves_by_exactly_its_rate(network):
    _, variables, _ = network
    optimizer = param_groups.apply_param_groups(optax.identity(), RATES)
    ones = jax.tree.map(jnp.ones_like, variables["params"])
    direction, _ = optimizer.update(ones, optimizer.init(variables["params"]), variables["params"])
    seen = {}
    for path, moved in by_path(direction).items():
        name = path.removeprefix("backbone/")
        expected = next((r for start, r in (("conv1", 0.1), ("bn1", 0.1), ("layer1_", 1 / 7), ("layer2_", 0.0))
                         if name.startswith(start)), 1.0)  # fmt: skip
        np.testing.assert_array_equal(moved, np.float32(expected), err_msg=path)
        seen[expected] = True
    assert len(seen) == 4


def train_frozen(module, variables, x, frozen):
    """Return the output of a jitted training step with frozen groups, and the new batch statistics."""

    @jax.jit
    def train(variables):
        with batch_norm.freeze_batch_stats(partial(param_groups.is_frozen, frozen)):
            return module.apply(variables, x, train=True, mutable=["batch_stats"])

    return train(variables)


def test_frozen_batch_norms_are_equal_in_training_and_inference(apply, network):
    module, variables, x = network
    # Statistics that the batch does not have: a batch norm that used or moved by its own would show.
    variables = variables | {"batch_stats": jax.tree.map(lambda s: s + 0.3, variables["batch_stats"])}
    trained, new = train_frozen(module, variables, x, [(r".*", 0.0)])
    np.testing.assert_allclose(trained, apply(module, variables, x), atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, new["batch_stats"], variables["batch_stats"])


@pytest.mark.parametrize("frozen", [".*", "down_0/layer_1/", "bottleneck/|transition_down_1/mix/"])
def test_frozen_norms_of_dense_blocks_use_running_statistics(apply, frozen):
    module = registry.create("fc_densenet29", 2, blocks=(2, 2), bottleneck=2, growth=4, stem=6, dropout=0.0)
    x = jax.random.normal(jax.random.key(1), (2, 16, 16, 1))
    variables = jax.jit(module.init, static_argnames="train")(jax.random.key(0), x, train=False)

    @jax.jit
    def train(statistics):
        with batch_norm.freeze_batch_stats(partial(param_groups.is_frozen, [(frozen, 0.0)])):
            return module.apply(variables | {"batch_stats": statistics}, x, train=True, mutable=["batch_stats"])

    def shift(by, which):
        moved = {path: leaf + by * which(path) for path, leaf in by_path(variables["batch_stats"]).items()}
        return unflatten_dict({tuple(path.split("/")): leaf for path, leaf in moved.items()})

    start = shift(0.3, lambda path: True)
    trained, new = train(start)
    for path, after in by_path(new["batch_stats"]).items():
        assert np.array_equal(after, by_path(start)[path]) == bool(re.match(frozen, path)), path
    np.testing.assert_array_equal(train(shift(0.3, lambda path: bool(re.match(frozen, path))))[0], trained)
    assert np.abs(train(shift(0.6, lambda path: bool(re.match(frozen, path))))[0] - trained).max() > 1e-3
    if frozen == ".*":
        in_use = apply(module, variables | {"batch_stats": start}, x)
        np.testing.assert_allclose(trained, in_use, atol=1e-5)


def test_only_frozen_batch_statistics_are_unchanged(network):
    module, variables, x = network
    _, new = train_frozen(module, variables, x, RATES)
    before = by_path(variables["batch_stats"])
    for path, after in by_path(new["batch_stats"]).items():
        assert np.array_equal(after, before[path]) == ("layer2_" in path), path


def test_frozen_parameters_have_no_optimizer_state(network):
    _, variables, _ = network
    frozen = param_groups.apply_param_groups(optax.scale_by_adam(), [(r"(?!.*fc/)", 0.0)]).init(variables["params"])
    head = sum(leaf.size for path, leaf in by_path(variables["params"]).items() if "fc/" in path)
    assert sum(leaf.size for leaf in jax.tree.leaves(frozen)) == 2 * head + 1  # two moments and the count


def test_second_phase_unfreezes_parameter_groups():
    phases = param_groups.plan_phases(RATES, 30, 0.1)
    assert [param_groups.phase_at(phases, step).start_step for step in (0, 29, 30, 99)] == [0, 0, 30, 30]
    path = "layer2_0/conv1/kernel"
    assert [param_groups.lr_multiplier(path, phase.param_groups) * phase.lr_scale for phase in phases] == [0.0, 0.1]
    assert param_groups.lr_multiplier("conv1/kernel", phases[1].param_groups) == 0.1
    assert param_groups.plan_phases(RATES, 0, 0.1) == [param_groups.TrainingPhase(0, RATES, 1.0)]
    with pytest.raises(ValueError, match="no group .* is frozen"):
        param_groups.plan_phases([("fc", 0.5)], 30, 0.1)


def test_a_pattern_that_matches_nothing_is_named(network):
    with pytest.raises(ValueError, match="'layer9_' matches no parameter"):
        param_groups.apply_param_groups(optax.identity(), [("layer9_", 0.0)]).init(network[1]["params"])
