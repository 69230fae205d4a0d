"""Microbatches equal the whole batch, and a backbone by stages equals the whole backbone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cxrjax.models import registry
from cxrjax.models.cpu import microbatch
from cxrjax.ops import batching


@pytest.mark.parametrize(
    ("total", "most", "share"),
    [
        (100, 51, 50),  # a divisor, if one is near
        (50, 3, 2),
        (97, 51, 49),  # 49 and 48: a prime, so one is filled up
        (7, 3, 3),  # 3, 3 and 1, since a microbatch of one would be a third
        (52, 51, 26),
    ],
)
def test_microbatches_are_few_and_nearly_equal(total, most, share):
    assert batching._microbatch_size(total, most) == share


@pytest.mark.parametrize(
    ("architecture", "narrowed"),
    [
        ("resnet8_narrow", {"width": 4}),
        ("resnet18_keras", {"stages": (1, 1), "width": 4}),
        ("densenet121", {"blocks": (1, 2), "growth": 4, "stem": 4}),
        ("vgg11_bn", {"stages": (1, 1), "width": 4}),
        ("fsarshad_cnn3", {"widths": (4, 8), "sizes": (3,)}),
    ],
)
def test_features_in_microbatches_equal_those_of_single_images(architecture, narrowed, monkeypatch):
    """Seven images of 64² pixels are split into microbatches at some stages, with padding or without."""
    monkeypatch.setattr(microbatch, "PIXELS", 2 * 16**2)
    module = registry.create(architecture, 3, head="linear", **narrowed)
    variables = registry.init_unoptimized(registry.init_fn(module, 64, 1), jax.random.key(0))
    x = jnp.asarray(np.random.default_rng(1).random((7, 64, 64, 1), np.float32))
    whole = jax.jit(lambda x: registry.extract_features(module, variables, x))
    sliced, alone = whole(x), jnp.concatenate([whole(x[i : i + 1]) for i in range(len(x))])
    assert "while" in whole.lower(x).as_text() and "while" not in whole.lower(x[:1]).as_text()
    np.testing.assert_allclose(sliced, alone, atol=1e-5 * float(jnp.abs(alone).max()))
    backbone = {collection: tree["backbone"] for collection, tree in variables.items() if tree}
    at_once = jax.jit(lambda x: module.backbone.apply(backbone, x, train=False))(x)
    np.testing.assert_allclose(sliced, at_once, atol=1e-5 * float(jnp.abs(alone).max()))


def test_batch_statistics_in_training_are_of_the_whole_batch(monkeypatch):
    """Statistics of batch norm are those of all images and not of a microbatch."""
    monkeypatch.setattr(microbatch, "PIXELS", 1)
    module = registry.create("resnet6", 3, width=4)
    variables = registry.init_unoptimized(registry.init_fn(module, 32, 1), jax.random.key(0))
    x = jnp.asarray(np.random.default_rng(1).random((4, 32, 32, 1), np.float32))
    train = jax.jit(lambda variables: module.apply(variables, x, train=True, mutable=["batch_stats"]))
    _, new = train(variables)
    stem = jax.lax.conv_general_dilated(
        x,
        variables["params"]["backbone"]["conv1"]["kernel"],
        (2, 2),
        [(3, 3)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    np.testing.assert_allclose(
        new["batch_stats"]["backbone"]["bn1"]["mean"], 0.1 * stem.mean((0, 1, 2)), rtol=1e-4, atol=1e-6
    )
