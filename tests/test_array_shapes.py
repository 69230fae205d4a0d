"""The tests check the shapes in annotations, by the import hook of conftest.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from cxrjax.ops import patches, voting
from cxrjax.training import losses


@pytest.mark.parametrize("wrap", [lambda function: function, jax.jit], ids=["eager", "jit"])
def test_a_wrong_shape_is_refused(wrap):
    """Labels of three examples for logits of two would broadcast, and the loss would be a plausible number."""
    loss = wrap(losses.cross_entropy)
    logits = jnp.zeros((1, 4))
    weights = jnp.ones(4)
    assert loss(logits, jnp.zeros(1, int), weights).shape == ()
    with pytest.raises(TypeCheckError, match=r"parameter 'labels'[\s\S]*'n'"):
        loss(logits, jnp.zeros(3, int), weights)


def test_a_wrong_dtype_is_refused():
    with pytest.raises(TypeCheckError, match="parameter 'mask'"):
        patches.sample_patch_centers(jax.random.key(0), np.zeros((8, 8), np.float32), 2)


def test_under_vmap_shapes_are_those_of_one_radiograph():
    def count(logits):
        return voting.count_votes(logits, "majority")

    assert jax.vmap(count)(jnp.zeros((5, 3, 2))).votes.shape == (5, 2)
    with pytest.raises(TypeCheckError, match="parameter 'logits'"):
        count(jnp.zeros((5, 3, 2)))


def test_a_wrong_result_is_refused(monkeypatch):
    """The shape of a result may depend on an argument: patches of `size` pixels."""
    slice_wrongly = jax.lax.dynamic_slice
    monkeypatch.setattr(patches.lax, "dynamic_slice", lambda x, start, sizes: slice_wrongly(x, start, (3, 3)))
    with pytest.raises(TypeCheckError, match="return value"):
        patches.extract_patches(np.zeros((8, 8), np.uint8), np.array([[4, 4]]), 2)
