"""Better means strictly better, in the metric's own direction."""

import jax.numpy as jnp
import pytest

from cxrjax import selection


@pytest.mark.parametrize(
    "metric, values, better",
    [
        ("val/macro_f1", (0.5, 0.7, 0.7, 0.69, 0.71), [True, True, False, False, True]),
        ("val/loss", (0.9, 0.7, 0.7, 0.71, 0.6), [True, True, False, False, True]),
        ("val/macro_auroc", (float("nan"), 0.4, float("nan")), [False, True, False]),
    ],
)
def test_best_and_stale_by_hand(metric, values, better):
    best, stale, found = jnp.float32(-jnp.inf), jnp.int32(0), []
    for value in values:
        waited = int(stale)
        best, stale, this = selection.update_best(best, stale, selection.rank(metric, {metric: value}))
        found.append(this)
        assert int(stale) == (0 if this else waited + 1)
    assert found == better
    last = max(epoch for epoch, this in enumerate(better) if this)
    assert selection.find_best([{metric: value} for value in values], metric)[metric] == values[last]


def test_a_metric_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="no metric called 'f1'; there are loss"):
        selection.rank("f1", {"loss": 1.0})
