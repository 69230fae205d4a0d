"""Between how many devices patches are shared; that the result is the same is in `test_hosts` and `test_end_to_end`."""

import jax
import jax.numpy as jnp
import pytest

from cxrjax.inference import patch_parallel


@pytest.mark.parametrize(
    "side, count",
    [(64, 8), (1024, 5), (4096, 1)],  # 9 and 36 times side² numbers of 4 bytes: 0.7 MB, 189 MB and 3 GB a device
)
def test_as_many_devices_as_have_room_for_the_classifier(monkeypatch, side, count):
    monkeypatch.setattr(jax, "device_count", lambda: 8)
    kernel = jax.ShapeDtypeStruct((3, 3, side, side), jnp.float32)
    assert patch_parallel.count_devices({"params": {"conv": {"kernel": kernel}}}) == count


def test_one_where_there_are_several_processes_or_no_cpu(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 8)
    small = {"params": {"conv": {"kernel": jnp.zeros((3, 3, 64, 64))}}}
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert patch_parallel.count_devices(small) == 1
    monkeypatch.undo()
    monkeypatch.setattr(jax, "device_count", lambda: 8)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert patch_parallel.count_devices(small) == 1
