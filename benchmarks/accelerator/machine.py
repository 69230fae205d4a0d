"""Describe the machine, and measure its peak rate of operations and its memory bandwidth."""

import importlib.metadata
import json
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.accelerator.rows import Row
from benchmarks.accelerator.sizes import Sizes
from benchmarks.accelerator.timing import measure
from benchmarks.results import describe_machine

CEILINGS = "ceilings.json"  # operations and bytes per second, for the later parts
_PACKAGES = ("jax", "jaxlib", "flax", "torch", "jax-cuda13-plugin", "nvidia-cudnn-cu13", "numpy", "orbax-checkpoint")


def run(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Describe the machine, and measure a large product in bfloat16 and a large copy on the device."""
    for what, text in describe().items():
        yield Row("machine", what, text)
    side = sizes.matrix
    a = jax.random.normal(jax.random.key(0), (side, side), jnp.bfloat16)
    b = jax.random.normal(jax.random.key(1), (side, side), jnp.bfloat16)
    seconds = measure(partial(jax.jit(jnp.matmul), a, b), sizes.turns)
    operations = 2 * side**3 / seconds
    yield Row("machine", f"product of {side} x {side}, bfloat16", operations / 1e12, "Tflop/s")
    array = jax.random.bits(jax.random.key(2), (sizes.copied // 4,), jnp.uint32)
    seconds = measure(partial(jax.jit(lambda x: x + jnp.uint32(1)), array), sizes.turns)
    bandwidth = 2 * sizes.copied / seconds
    yield Row("machine", f"copy of {sizes.copied / 2**30:.3g} GiB, read and written", bandwidth / 1e12, "TB/s")
    (folder / CEILINGS).write_text(json.dumps({"operations": operations, "bytes": bandwidth}))


def describe() -> dict[str, str]:
    """Describe the devices, the driver, the packages and the host."""
    devices = jax.devices()
    host = describe_machine()
    description = {
        "devices": f"{len(devices)} x {devices[0].device_kind} ({devices[0].platform})",
        "host": f"{host['processor']}, {host['cores']} cores",
    }
    command = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        description["nvidia-smi"] = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        description["nvidia-smi"] = f"none ({type(error).__name__})"
    versions = {name: _version(name) for name in _PACKAGES}
    description["packages"] = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    return description


def read_ceilings(folder: Path) -> dict[str, Any]:
    """Read the ceilings that `run` measured; {} if there are none."""
    path = folder / CEILINGS
    return json.loads(path.read_text()) if path.exists() else {}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
