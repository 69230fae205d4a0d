"""Number of devices that share patches; `test_multihost` and `test_end_to_end` test that results are equal."""

import jax
import pytest

from cxrjax.inference import patch_parallel


@pytest.mark.parametrize("processes, backend, count", [(1, "cpu", 8), (2, "cpu", 1), (1, "gpu", 1)])
def test_all_cores_of_a_single_process_share_patches(monkeypatch, processes, backend, count):
    monkeypatch.setattr(jax, "device_count", lambda: 8)
    monkeypatch.setattr(jax, "process_count", lambda: processes)
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    assert patch_parallel.count_devices() == count
