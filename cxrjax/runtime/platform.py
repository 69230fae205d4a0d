"""The platform that programs are traced for, which decides between forms of some operations."""

import jax

# `with traced_for("cuda"):` sets the platform that functions are traced for, if it is not the current backend; `jit`
# traces them again for each platform. "onnx" stands for runtimes that optimize plain convolutions themselves.
traced_for = jax.make_user_context(None)


def is_for_cpu() -> bool:
    """Return whether the function being traced is to run on a CPU, and uses the forms that are fast there."""
    return _platform() == "cpu"


def is_for_accelerator() -> bool:
    """Return whether the function being traced is to run on a GPU or a TPU."""
    return _platform() not in ("cpu", "onnx")


def _platform() -> str:
    return traced_for.value or jax.default_backend()
