"""Losses by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from cxrjax.data import batch
from cxrjax.training import losses


def test_segmentation_loss_of_structure_masks_by_hand():
    probabilities = jnp.log(jnp.array([[[[0.5, 0.1, 0.2, 0.2], [0.1, 0.1, 0.7, 0.1]]]]))  # two pixels
    masks = np.array([[[0, 2]]])
    expected = -(0.5 * np.log(0.5) + 1.0 * np.log(0.7)) / 1.5
    value = losses.segmentation_loss(probabilities, masks, np.array([batch.STRUCTURES_KNOWN]), 0.5)
    assert value == pytest.approx(expected, rel=1e-6)


def test_segmentation_loss_of_lung_masks_sums_possible_structures():
    probabilities = jnp.log(jnp.array([[[[0.5, 0.1, 0.2, 0.2], [0.1, 0.1, 0.6, 0.2]]]]))
    masks = np.array([[[0, 1]]])
    expected = -(0.5 * np.log(0.6) + 1.0 * np.log(0.8)) / 1.5
    value = losses.segmentation_loss(probabilities, masks, np.array([batch.LUNGS_KNOWN]), 0.5)
    assert value == pytest.approx(expected, rel=1e-6)


def test_segmentation_loss_of_masks_with_lungs_behind_the_heart():
    probabilities = jnp.log(jnp.array([[[[0.5, 0.1, 0.2, 0.2], [0.1, 0.3, 0.4, 0.2]]]]))
    masks = np.array([[[0, 1]]])  # the heart may lie in the second pixel
    expected = -(0.5 * np.log(0.5) + 1.0 * (1 - 0.3) * np.log(0.6 / (0.6 + 0.1))) / 1.5
    value = losses.segmentation_loss(probabilities, masks, np.array([batch.LUNGS_WITH_HEART_KNOWN]), 0.5)
    assert value == pytest.approx(expected, rel=1e-6)


def test_heart_logit_has_no_gradient_only_in_the_heart_region():
    masks = np.zeros((1, 8, 8), int)
    masks[0, 2:6, 1:7] = 1
    logits = jax.random.normal(jax.random.key(0), (1, 8, 8, 4))

    def loss(logits):
        types = np.array([batch.LUNGS_WITH_HEART_KNOWN])
        return losses.segmentation_loss(jax.nn.log_softmax(logits), masks, types, 0.5)

    gradient = np.asarray(jax.grad(loss)(logits))[..., 1]
    region = np.asarray(losses.heart_region(masks > 0))
    np.testing.assert_allclose(gradient[region], 0, atol=1e-8)
    assert (gradient[~region] > 1e-4).all()


def test_heart_region_is_the_lower_middle_of_the_lungs_and_below():
    masks = np.zeros((2, 12, 24), bool)
    masks[0, 2:10, 2:8] = masks[0, 2:10, 16:22] = True  # the second mask is empty
    expected = np.zeros((2, 12, 24), bool)
    expected[0, 4:, 5:19] = True  # centers of columns from 2 + 0.15 * 20 = 5 to 19; of rows from 2 + 0.25 * 8 = 4
    np.testing.assert_array_equal(losses.heart_region(masks), expected)


def test_segmentation_loss_uses_the_mask_type_of_each_radiograph():
    probabilities = jnp.log(jnp.tile(jnp.array([0.1, 0.3, 0.4, 0.2]), (3, 1, 1, 1)))
    masks = np.full((3, 1, 1), 2)
    types = np.array([batch.STRUCTURES_KNOWN, batch.LUNGS_KNOWN, batch.LUNGS_WITH_HEART_KNOWN])
    expected = -(np.log(0.4) + np.log(0.6) + (1 - 0.3) * np.log(0.6 / (0.6 + 0.1))) / 3
    assert losses.segmentation_loss(probabilities, masks, types, 0.5) == pytest.approx(expected, rel=1e-6)


LOGITS, LABELS = jnp.log(jnp.array([[0.25, 0.75], [0.9, 0.1], [0.5, 0.5]])), jnp.array([1, 0, 0])
RIGHT = np.array([0.75, 0.9, 0.5])  # the probability of each truth


def test_cross_entropy_by_hand():
    assert losses.cross_entropy(LOGITS, LABELS, jnp.ones(2)) == pytest.approx(-np.log(RIGHT).mean(), rel=1e-6)


def test_class_weights_scale_the_loss():
    expected = -(3 * np.log(0.75) + np.log(0.9) + np.log(0.5)) / (3 + 1 + 1)  # torch.nn.CrossEntropyLoss(weight=[1, 3])
    assert losses.cross_entropy(LOGITS, LABELS, jnp.array([1.0, 3.0])) == pytest.approx(expected, rel=1e-6)


def test_focal_loss_by_hand():
    expected = -(0.25 * (1 - RIGHT) ** 2 * np.log(RIGHT)).mean()
    assert losses.cross_entropy(LOGITS, LABELS, jnp.ones(2), gamma=2, alpha=0.25) == pytest.approx(expected, rel=1e-5)


def test_focal_loss_has_a_finite_gradient_at_certainty():
    differentiate = jax.jit(jax.grad(losses.cross_entropy), static_argnums=3)
    gradient = differentiate(jnp.array([[200.0, 0.0]]), jnp.array([0]), jnp.ones(2), 0.5)
    assert np.isfinite(gradient).all()


def test_inverse_class_weights_equal_scikit_learns_balanced():
    labels = np.array([0] * 6 + [1] * 3 + [2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(losses.weigh_classes(labels, 3, ("inverse",)), expected, rtol=1e-6)
    np.testing.assert_array_equal(losses.weigh_classes(labels, 3, ()), 1)
    np.testing.assert_array_equal(losses.weigh_classes(labels, 3, (1, 2, 4)), [1, 2, 4])
    for wanted, message in [((1, 2), "3 numbers"), (("balanced",), "3 numbers")]:
        with pytest.raises(ValueError, match=message):
            losses.weigh_classes(labels, 3, wanted)
    with pytest.raises(ValueError, match="every class"):
        losses.weigh_classes(labels, 4, ("inverse",))


def test_segmentation_loss_of_lung_masks_is_binary_cross_entropy():
    """With a background weight of 1, it equals the loss of Keras and manastahir."""
    logits = jax.random.normal(jax.random.key(0), (2, 4, 4, 4))
    masks = np.random.default_rng(0).integers(0, 2, (2, 4, 4))
    p = np.asarray(jax.nn.softmax(logits)[..., 2:].sum(-1))
    expected = -np.where(masks, np.log(p), np.log(1 - p)).mean()
    kinds = np.full(2, batch.LUNGS_KNOWN)
    assert losses.segmentation_loss(jax.nn.log_softmax(logits), masks, kinds, 1.0) == pytest.approx(expected, rel=1e-5)


def test_l1_and_l2_penalties_by_hand():
    params = {"a": jnp.array([1.0, -2.0]), "b": {"c": jnp.array([[-0.5]])}}
    assert losses.penalty(params, 0.1, 0.0) == pytest.approx(0.1 * 3.5)
    assert losses.penalty(params, 0.1, 0.01) == pytest.approx(0.1 * 3.5 + 0.01 * 5.25)
    assert losses.penalty(params, 0.0, 0.0) == 0


def test_l2_penalty_of_kernels_excludes_vectors():
    """Keras's kernel_regularizer=l2: neither biases nor batch norms."""
    params = {"conv": {"kernel": jnp.full((1, 1, 2, 1), 3.0), "bias": jnp.array([7.0])}, "bn": {"scale": jnp.ones(4)}}
    assert losses.penalty(params, 0.0, 0.01, l2_vectors=False) == pytest.approx(0.01 * (9 + 9))
    assert losses.penalty(params, 0.0, 0.01) == pytest.approx(0.01 * (9 + 9 + 49 + 4))
    assert losses.penalty(params, 0.1, 0.0, l2_vectors=False) == pytest.approx(0.1 * (6 + 7 + 4))
