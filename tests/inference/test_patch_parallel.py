"""Number of devices that share patches; `test_multihost` and `test_end_to_end` test that results are equal."""

import jax
import jax.numpy as jnp
import pytest

from cxrjax.inference import patch_parallel


@pytest.mark.parametrize(
    "side, count",
    [(64, 8), (1024, 5), (4096, 1)],  # 9 and 36 times side² numbers of 4 bytes: 0.7 MB, 189 MB and 3 GB a device
)
def test_devices_are_limited_by_memory_for_the_classifier(monkeypatch, side, count):
    monkeypatch.setattr(jax, "device_count", lambda: 8)
    kernel = jax.ShapeDtypeStruct((3, 3, side, side), jnp.float32)
    assert patch_parallel.count_devices({"params": {"conv": {"kernel": kernel}}}) == count


def test_one_device_is_used_with_several_processes_or_without_cpu(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 8)
    small = {"params": {"conv": {"kernel": jnp.zeros((3, 3, 64, 64))}}}
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert patch_parallel.count_devices(small) == 1
    monkeypatch.undo()
    monkeypatch.setattr(jax, "device_count", lambda: 8)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert patch_parallel.count_devices(small) == 1
