"""The verdict on synthetic data of six known kinds; `benchmarks.verdicts` counts more draws."""

import numpy as np
import pytest

from benchmarks import verdicts
from cxrjax.metrics import bootstrap


@pytest.mark.parametrize("kind", verdicts.KINDS)
def test_verdict_matches_the_known_truth_of_synthetic_data(kind, monkeypatch, unchecked_types):
    monkeypatch.setattr(bootstrap.bootstrap, "__defaults__", (100, 0))
    data = verdicts.KINDS[kind]
    for seed in (100, 101):
        assert data.is_correct(verdicts.conclude(data, np.random.default_rng(seed)))
