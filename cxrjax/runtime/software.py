"""Software and hardware of this process, for the record of what made a result."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy", "opencv-python-headless")
_SECONDS = 5  # that git may take


def versions() -> dict[str, str]:
    """Return the versions of this package, Python, and the packages that results depend on."""
    packages = {name: metadata.version(name) for name in ("cxrjax", *PACKAGES)}
    return packages | {"python": platform.python_version()}


def commit() -> str:
    """Return the git commit of this package's checkout, with "-dirty" if a file differs; "" where it is installed."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return ""
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout.strip()


def hardware() -> str:
    """Return one phrase on the machine and its JAX devices."""
    import jax  # it takes a second, and the other functions do not need it

    device = jax.devices()[0]
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{jax.device_count()} x {device.device_kind} ({device.platform})"
    )
