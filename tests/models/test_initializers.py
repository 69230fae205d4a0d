"""Kernels and biases are drawn as the framework or the project that an initializer is named after draws them.

The expected numbers are worked out by hand from the sizes of the layers.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from cxrjax.config import recipes, schema
from cxrjax.models import classifier, from_config, initializers, registry
from cxrjax.models.layers import conv
from cxrjax.pretrained import state_dict


def draw(name, architecture, layer, channels):
    """Return the parameters of a layer with `channels` inputs, drawn as in a network, by their paths."""
    initializer = registry.find_initializer(registry.create(architecture, 2), name)
    train = {"train": False} if isinstance(layer, classifier.Head) else {}

    def draw_layer(key):
        with initializers.use(initializer):
            return layer.init(key, jnp.zeros((1, 1, 1, channels)), **train)["params"]

    drawn = registry.init_unoptimized(draw_layer, jax.random.key(0))
    return {path: np.asarray(leaf) for path, leaf in flatten_dict(drawn, sep="/").items()}


HEAD = classifier.Head(100, hidden=((64, 0.0),))


@pytest.mark.parametrize(
    "name, architecture, layer, channels, deviation",
    [
        ("he_normal", "resnet18", conv.Conv(64, 7), 3, 0.1166),  # sqrt(2 / (7 * 7 * 3))
        ("torchvision", "resnet18", conv.Conv(64, 7), 3, 0.02525),  # sqrt(2 / (7 * 7 * 64))
        ("torchvision", "densenet121", conv.Conv(64, 7), 3, 0.1166),
        ("torchvision", "vgg16", conv.Conv(64, 3, use_bias=True), 3, 0.05893),  # sqrt(2 / (3 * 3 * 64))
        ("lecun_normal", "unet", conv.Upsample(8), 64, 0.11785),  # sqrt(1 / (3 * 3 * 8))
        ("glorot_normal", "unet", conv.Conv(64, 3, use_bias=True), 32, 0.04811),  # sqrt(2 / (3 * 3 * (32 + 64)))
        ("fsarshad_cnn2", "fsarshad_cnn2", conv.Conv(32, 5, use_bias=True), 32, 0.05),  # sqrt(2 / (5 * 5 * 32))
        ("fsarshad_cnn3", "fsarshad_cnn3", conv.Conv(32, 5, use_bias=True), 32, 0.03536),  # sqrt(1 / (5 * 5 * 32))
    ],
)
def test_deviation_of_normal_kernels_of_convolutions(name, architecture, layer, channels, deviation):
    drawn = draw(name, architecture, layer, channels)
    check_normal(drawn["kernel"], deviation, truncated=name != "torchvision")
    assert not drawn.get("bias", np.zeros(1)).any()


@pytest.mark.parametrize("shape", [(3, 3, 5, 7), (64, 16), (1, 1, 1, 1)])
@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize("distribution", ["truncated_normal", "normal", "uniform"])
def test_variance_scaling_equals_jax(distribution, mode, shape):
    key = jax.random.key(3)
    drawn = initializers._variance_scaling(1.7, mode, distribution)(key, shape)
    expected = jax.nn.initializers.variance_scaling(1.7, mode, distribution)(key, shape)
    max_units = 2 if jax.__version_info__ >= (0, 11) else 0  # newer releases multiply in another order
    np.testing.assert_array_max_ulp(np.asarray(drawn), np.asarray(expected), maxulp=max_units)


def check_normal(kernel, deviation, truncated):
    """Truncation at two deviations makes the deviation 0.8796 times as large: values are below 2.28 of it."""
    assert kernel.std() == pytest.approx(deviation, rel=0.04)
    assert kernel.mean() == pytest.approx(0, abs=0.05 * deviation)
    assert (np.abs(kernel).max() < 2.28 * deviation) == truncated


@pytest.mark.parametrize(
    "name, architecture, layer, channels, bound, biased",
    [
        ("torch", "fc_densenet103", conv.Conv(48, 3, use_bias=True), 1, 1 / 3, True),  # the stem: 1 / sqrt(3 * 3)
        ("torch", "fc_densenet103", conv.Conv(16, 3, use_bias=True), 48, 0.04811, True),  # 1 / sqrt(3 * 3 * 48)
        ("torch", "fc_densenet103", conv.Upsample(80), 80, 0.03727, True),  # 1 / sqrt(3 * 3 * 80)
        ("torch", "unet", conv.Upsample(64, 2), 128, 0.0625, True),  # PyTorch counts 2 * 2 * 64
        ("he_uniform", "fc_densenet103_keras", conv.Conv(16, 3, use_bias=True), 48, 0.11785, False),  # sqrt(6 / 432)
        ("he_uniform", "unet", conv.Upsample(64, 2), 128, 0.15309, False),  # sqrt(6 / (2 * 2 * 64))
        ("glorot_uniform", "unet", conv.Conv(16, 3, use_bias=True), 6, 0.17408, False),  # sqrt(6 / (9 * (6 + 16)))
    ],
)
def test_bounds_of_uniform_kernels_and_biases_of_convolutions(name, architecture, layer, channels, bound, biased):
    drawn = draw(name, architecture, layer, channels)
    check_uniform(drawn["kernel"], bound)
    check_bias(drawn["bias"], bound if biased else 0.0)


def check_uniform(kernel, bound):
    assert 0.97 * bound < np.abs(kernel).max() < 1.001 * bound
    assert kernel.std() == pytest.approx(bound / 3**0.5, rel=0.1)


def check_bias(bias, bound):
    """A bias is 0 throughout, or uniform within the bound."""
    assert bound / 2 <= np.abs(bias).max() <= 1.001 * bound
    assert not bound or np.unique(bias).size == bias.size


@pytest.mark.parametrize(
    "name, architecture, bounds, biased",
    [
        # 1 / sqrt(fan_in) of 100 and 64 inputs
        ("torch", "hieu2695_baseline", (0.1, 0.125), True),
        ("torchvision", "resnet18", (0.1, 0.125), True),
        ("torchvision", "densenet121", (0.1, 0.125), False),
        # sqrt(6 / (fan_in + fan_out)) of 100 inputs and 64 outputs, and of 64 and 100
        ("glorot_uniform", "fsarshad_cnn1", (0.19127, 0.19127), False),
    ],
)
def test_bounds_of_uniform_linear_layers(name, architecture, bounds, biased):
    drawn = draw(name, architecture, HEAD, 100)
    for layer, bound in enumerate(bounds):
        check_uniform(drawn[f"linear_{layer}/kernel"], bound)
        check_bias(drawn[f"linear_{layer}/bias"], bound if biased else 0.0)


def test_torchvisions_vgg_draws_linear_layers_of_one_deviation():
    drawn = draw("torchvision", "vgg16", HEAD, 100)
    for layer in ("linear_0", "linear_1"):
        check_normal(drawn[f"{layer}/kernel"], 0.01, truncated=False)
        assert not drawn[f"{layer}/bias"].any()


@pytest.mark.parametrize("name, deviation", [("fsarshad_cnn2", 0.14142), ("fsarshad_cnn3", 0.11043)])
def test_last_layers_of_fsarshad_are_drawn_by_keras_default(name, deviation):
    drawn = draw(name, name, HEAD, 100)
    check_normal(drawn["linear_0/kernel"], deviation, truncated=True)  # sqrt(2 / 100); sqrt(2 / (100 + 64))
    check_uniform(drawn["linear_1/kernel"], 0.19127)  # sqrt(6 / (64 + 100))


def test_a_whole_network_is_drawn_by_the_initializer():
    module = registry.create("fc_densenet29", 4, blocks=(1,), bottleneck=1, growth=4, stem=8)
    torch = registry.find_initializer(module, "torch")
    drawn = registry.init_unoptimized(registry.init_fn(module, 16, 1, torch), jax.random.key(0))["params"]
    flat = flatten_dict(drawn)
    kernels = {path[:-1]: leaf for path, leaf in flat.items() if path[-1] == "kernel"}
    assert len(kernels) == 7  # the stem, layers of two blocks and the bottleneck, transitions down and up, the head
    for path, kernel in kernels.items():
        height, width, inputs, outputs = kernel.shape
        bound = (height * width * (outputs if "transition_up_0" in path else inputs)) ** -0.5
        assert bound / 2 < jnp.abs(kernel).max() < 1.001 * bound
        assert 0 < jnp.abs(flat[(*path, "bias")]).max() < 1.001 * bound


class Plain(nn.Module):
    """A kernel and a bias as Flax draws them for convolutions by He normal."""

    shape: tuple[int, ...]

    @nn.compact
    def __call__(self):
        self.param("kernel", nn.initializers.he_normal(), self.shape)
        self.param("bias", nn.initializers.zeros, self.shape[-1:])


@pytest.mark.parametrize(
    "module, shape", [(conv.Conv(6, 3, use_bias=True), (3, 3, 5, 6)), (conv.Upsample(6, 2), (2, 2, 5, 6))]
)
def test_default_initializer_of_convolutions_is_he_normal_of_flax(module, shape):
    key = jax.random.key(4)
    drawn, plain = module.init(key, jnp.zeros((1, 2, 2, 5))), Plain(shape).init(key)
    jax.tree.map(np.testing.assert_array_equal, drawn, plain)


def test_default_initializer_of_linear_layers_is_that_of_flax():
    class Linear(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(3, name="linear_1")(nn.Dense(4, name="linear_0")(x))

    key = jax.random.key(4)
    drawn = classifier.Head(3, hidden=((4, 0.0),)).init(key, jnp.zeros((1, 2, 2, 5)), train=False)
    jax.tree.map(np.testing.assert_array_equal, drawn, Linear().init(key, jnp.zeros((1, 5))))


def test_initializer_is_used_only_in_its_context():
    torch = initializers.INITIALIZERS["torch"]
    with initializers.use(torch):
        assert initializers.current() is torch
    assert initializers.current() is initializers.HE_NORMAL


def test_new_head_is_drawn_by_the_initializer_and_the_rest_is_loaded():
    module = registry.create("hieu2695_baseline", 3)
    variables = registry.init_unoptimized(registry.init_fn(module, 16, 1), jax.random.key(0))
    state = state_dict.to_state_dict("hieu2695_baseline", variables)
    key = jax.random.key(1)
    tuned = state_dict.from_state_dict("hieu2695_baseline", state, num_classes=3, new_head=key, initializer="torch")
    bias = np.asarray(tuned["params"]["head"]["linear_0"]["bias"])
    assert bias.all() and np.abs(bias).max() <= 1 / 120  # 1 / sqrt(30 * 30 * 16)
    jax.tree.map(np.testing.assert_array_equal, tuned["params"]["backbone"], variables["params"]["backbone"])


def test_initializer_settings_accept_exactly_the_initializers():
    names = {*initializers.INITIALIZERS, "torchvision"}
    for setting in ("segmenter.initializer", "classifier.initializer"):
        assert set(schema.SETTINGS[setting].choices) == names


@pytest.mark.parametrize("architecture", ["fc_densenet56", "unet_resnet34", "resnet18_keras"])
def test_torchvision_initializer_refuses_other_networks(architecture):
    with pytest.raises(ValueError, match="torchvision has no"):
        registry.find_initializer(registry.create(architecture, 2), "torchvision")
    with pytest.raises(ValueError, match=r"no initializer called 'lecun'; there are he_normal, "):
        registry.find_initializer(registry.create(architecture, 2), "lecun")


@pytest.mark.parametrize(
    "recipe, name",
    [
        ("oh2020:segment", "torch"),
        ("manastahir:segment", "he_uniform"),
        ("singhaxn:segment", "he_normal"),
        ("benchmark:segment", "he_normal"),
        ("fsarshad:cnn1", "glorot_uniform"),
        ("fsarshad:vgg19", "glorot_uniform"),
        ("fsarshad:cnn3", "fsarshad_cnn3"),
        ("hieu2695:weighted", "torch"),
        ("hieu2695:vgg16", "torch"),
        ("audit", "he_normal"),
        ("phantom:classify", "he_normal"),
    ],
)
def test_recipe_has_the_initializer_of_its_original(recipe, name):
    config = recipes.load(recipe)
    network = from_config.segmenter(config) if config.task == "segment" else from_config.classifier(config)
    assert network.initializer is initializers.INITIALIZERS[name]


@pytest.mark.parametrize("recipe", ["oh2020:classify", "hieu2695:groups"])
def test_resnet_recipes_have_the_torchvision_initializer(recipe):
    config = recipes.load(recipe)
    assert from_config.classifier(config).initializer is initializers.TORCHVISION["resnet"]
