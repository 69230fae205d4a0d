"""The order in which training draws radiographs, checked by counts."""

import numpy as np
import pytest

from cxrjax.data.sampler import AugmentedSubset, BatchSampler

GROUPS = np.array([0] * 6 + [1] * 3 + [2])


def test_shuffle_draws_each_once_and_fills_the_last_step():
    order = BatchSampler(GROUPS, 4, "shuffle", seed=0)
    rows = order.epoch_rows(0)
    assert order.steps_per_epoch == 3 and sorted(rows.flat[:10]) == list(range(10))
    assert list(rows.flat[10:]) == list(rows.flat[:2])
    assert not np.array_equal(rows, order.epoch_rows(1))
    np.testing.assert_array_equal(BatchSampler(GROUPS, 4, "shuffle", seed=0).rows(4), order.epoch_rows(1)[1])


def test_balanced_draws_every_class_equally_often():
    order = BatchSampler(GROUPS, 10, "balanced", seed=0)
    seen = np.bincount(GROUPS[np.concatenate([order.epoch_rows(epoch).ravel() for epoch in range(600)])])
    np.testing.assert_allclose(seen / seen.sum(), 1 / 3, atol=0.02)  # three standard errors of 6000 draws


@pytest.mark.parametrize("minority, extra, counts", [((), 5, [6, 3, 6]), ((1, 2), 2, [6, 9, 3])])
def test_oversample_repeats_the_minority_classes(minority, extra, counts):
    order = BatchSampler(GROUPS, 3, "oversample", 0, extra, minority)
    total = sum(counts)
    assert order.steps_per_epoch == -(-total // 3)
    assert list(np.bincount(GROUPS[order.epoch_rows(3).ravel()[:total]])) == counts


def test_order_equals_numpys_permutation_and_choice():
    """The rows are NumPy's permutation and random choices of the radiographs."""
    order = BatchSampler(GROUPS, 3, "oversample", 7, 2, (1,), AugmentedSubset(copies_only=True))
    visits = np.concatenate([np.arange(10), np.tile([6, 7, 8], 2)])
    expected = np.random.default_rng([7, 4]).permutation(visits)
    np.testing.assert_array_equal(order.epoch_rows(4), np.resize(expected, (6, 3)))
    balanced = BatchSampler(GROUPS, 5, "balanced", 7).epoch_rows(4).ravel()
    chances = np.repeat([1 / 18, 1 / 9, 1 / 3], [6, 3, 1])
    np.testing.assert_array_equal(balanced, np.random.default_rng([7, 4]).choice(np.arange(10), 10, p=chances))


def test_augmented_subset_is_none_if_all_are_augmented():
    for mixture in (AugmentedSubset(), AugmentedSubset(unfreeze_scale=0.5), AugmentedSubset(unfreeze_epoch=3)):
        order = BatchSampler(GROUPS, 4, "shuffle", 0, augmented_subset=mixture)
        assert order.epoch_augmented(5) is None and order.augmented(7) is None


@pytest.mark.parametrize("extra, minority", [(5, ()), (2, (1, 2))])
def test_copies_only_augments_all_but_one_draw_of_each_radiograph(extra, minority):
    order = BatchSampler(GROUPS, 4, "oversample", 0, extra, minority, AugmentedSubset(copies_only=True))
    rare = np.isin(GROUPS, minority or (2,))
    for epoch in range(3):
        total = 10 + extra * rare.sum()
        rows, chosen = order.epoch_rows(epoch).ravel()[:total], order.epoch_augmented(epoch).ravel()[:total]
        np.testing.assert_array_equal(np.bincount(rows[~chosen]), np.ones(10))
        np.testing.assert_array_equal(np.bincount(rows[chosen], minlength=10), extra * rare)
    step = 2 * order.steps_per_epoch + 1
    np.testing.assert_array_equal(order.augmented(step), order.epoch_augmented(2)[1])
    np.testing.assert_array_equal(order.rows(step), order.epoch_rows(2)[1])


def test_augmented_share_is_drawn_per_example_and_falls_at_unfreezing():
    groups = np.zeros(5000, np.int32)
    order = BatchSampler(
        groups,
        100,
        "shuffle",
        0,
        augmented_subset=AugmentedSubset(probability=0.8, unfreeze_epoch=2, unfreeze_scale=0.5),
    )
    shares = [order.epoch_augmented(epoch).mean() for epoch in range(4)]
    np.testing.assert_allclose(shares, [0.8, 0.8, 0.4, 0.4], atol=0.03)  # four standard errors
    assert not np.array_equal(order.epoch_augmented(0), order.epoch_augmented(1))
    np.testing.assert_array_equal(order.epoch_rows(1), BatchSampler(groups, 100, "shuffle", 0).epoch_rows(1))
    assert (
        BatchSampler(groups, 100, "shuffle", 0, augmented_subset=AugmentedSubset(unfreeze_epoch=2, unfreeze_scale=0.8))
        .epoch_augmented(1)
        .all()
    )


@pytest.mark.parametrize("sampling", ["shuffle", "balanced"])
def test_copies_only_needs_oversampling(sampling):
    with pytest.raises(ValueError, match=f"training.augment=copies needs .*, and it is {sampling}; set"):
        BatchSampler(GROUPS, 4, sampling, 0, augmented_subset=AugmentedSubset(copies_only=True))
