"""The platform that programs are traced for, by which some sums take one form or another."""

import jax

# `with traced_for("cuda"):` names the platform that functions are traced for where that is not this backend; `jit`
# traces them again for each. "onnx" stands for runtimes that know how to run plain convolutions.
traced_for = jax.make_user_context(None)


def is_for_cpu() -> bool:
    """Return whether what is being traced is to run on a CPU, and so in the forms that are fast there."""
    return _platform() == "cpu"


def is_for_accelerator() -> bool:
    """Return whether what is being traced is to run on a GPU or a TPU."""
    return _platform() not in ("cpu", "onnx")


def _platform() -> str:
    return traced_for.value or jax.default_backend()
