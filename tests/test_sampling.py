"""The order of a training's data, counted."""

import numpy as np
import pytest

from cxrjax.sampling import Order

GROUPS = np.array([0] * 6 + [1] * 3 + [2])


def test_shuffled_sees_each_once_and_fills_the_last_step_from_the_epochs_beginning():
    order = Order(GROUPS, 4, "shuffled", seed=0)
    rows = order.draw(0)
    assert order.steps == 3 and sorted(rows.flat[:10]) == list(range(10))
    assert list(rows.flat[10:]) == list(rows.flat[:2])
    assert not np.array_equal(rows, order.draw(1))
    np.testing.assert_array_equal(Order(GROUPS, 4, "shuffled", seed=0).rows(4), order.draw(1)[1])


def test_balanced_sees_every_class_as_often():
    order = Order(GROUPS, 10, "balanced", seed=0)
    seen = np.bincount(GROUPS[np.concatenate([order.draw(epoch).ravel() for epoch in range(600)])])
    np.testing.assert_allclose(seen / seen.sum(), 1 / 3, atol=0.02)  # three standard errors of 6000 draws


@pytest.mark.parametrize("minority, extra, counts", [((), 5, [6, 3, 6]), ((1, 2), 2, [6, 9, 3])])
def test_oversampled_sees_the_minority_k_times_more(minority, extra, counts):
    order = Order(GROUPS, 3, "oversampled", 0, extra, minority)
    total = sum(counts)
    assert order.steps == -(-total // 3)
    assert list(np.bincount(GROUPS[order.draw(3).ravel()[:total]])) == counts
