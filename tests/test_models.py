"""Sizes of the networks, and weights that do not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cxrjax import models, pretrained


def count_by_hand(blocks, bottleneck, growth, stem, channels, classes):
    """Parameters of an FC-DenseNet added up from its layout (Jegou et al. 2017, figure 2)."""

    def layer(seen, features, kernel=9):  # norm's scale and offset, kernel, bias
        return 2 * seen + kernel * seen * features + features

    def block(seen, layers):
        return sum(layer(seen + i * growth, growth) for i in range(layers))

    total, seen, skips = 9 * channels * stem + stem, stem, []
    for layers in blocks:
        total += block(seen, layers)
        seen += layers * growth
        skips.append(seen)
        total += layer(seen, seen, kernel=1)
    total += block(seen, bottleneck)
    new = bottleneck * growth
    for layers, skip in zip(blocks[::-1], skips[::-1], strict=True):
        total += 9 * new * new + new + block(new + skip, layers)
        seen, new = new + skip + layers * growth, layers * growth
    return total + seen * classes + classes


def count(architecture, classes, channels):
    module = models.build(architecture, classes)
    x = jnp.zeros((1, 64, 64, channels))
    return models.count_parameters(jax.eval_shape(lambda: module.init(jax.random.key(0), x, train=False)))


@pytest.mark.parametrize(
    "architecture, classes, channels, parameters",
    [
        ("fc_densenet103", 4, 1, 9_319_428),  # the network of Oh et al.
        ("resnet18", 4, 3, 11_178_564),  # torchvision
        ("resnet34", 4, 3, 21_286_724),
        ("resnet18", 1000, 3, 11_689_512),
        ("resnet34", 1000, 3, 21_797_672),
    ],
)
def test_parameter_counts_of_the_originals(architecture, classes, channels, parameters):
    assert count(architecture, classes, channels) == parameters


@pytest.mark.parametrize(
    "architecture, layout",
    [
        ("fc_densenet56", ((4,) * 5, 4, 12, 48)),
        ("fc_densenet67", ((5,) * 5, 5, 16, 48)),
        ("fc_densenet103", ((4, 5, 7, 10, 12), 15, 16, 48)),
    ],
)
def test_parameter_counts_by_hand(architecture, layout):
    assert count(architecture, 11, 3) == count_by_hand(*layout, channels=3, classes=11)


def test_an_odd_size_comes_back_whole():
    module = models.build("fc_densenet56", 4)
    x = jnp.zeros((1, 70, 45, 1))
    assert jax.eval_shape(lambda: module.init_with_output(jax.random.key(0), x, train=False))[0].shape == (1, 70, 45, 4)


def test_an_unknown_architecture_is_refused_by_name():
    with pytest.raises(ValueError, match=r"resnet17.*resnet18"):
        models.build("resnet17", 3)


def test_unfit_weights_are_reported_whole():
    state = {
        "conv1.weight": np.zeros((64, 3, 5, 5)),
        "layer9.0.conv1.weight": np.zeros((64, 64, 3, 3)),
        "bn1.num_batches_tracked": np.array(7),
    }
    with pytest.raises(pretrained.UnfitWeights) as error:
        pretrained.from_state_dict("resnet18", state, num_classes=4)
    message = str(error.value)
    assert "params/layer9_0/conv1/kernel" in message and "(5, 5, 3, 64), should be (7, 7, 3, 64)" in message
    assert "missing" in message and "params/fc/bias" in message and "num_batches" not in message
