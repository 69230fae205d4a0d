"""JAX's events say when a compilation begins and ends."""

import subprocess
import sys

_PROGRAM = """
import time
import jax
from cxrjax.runtime import compile_notice

compile_notice.SECONDS = {seconds}
compile_notice.enable()
compile_notice.enable()
before = jax.jit(lambda x: x + 1).lower(1.0)
{pause}
before.compile()
time.sleep(0.5)
"""


def _run(seconds: float, pause: str) -> str:
    program = _PROGRAM.format(seconds=seconds, pause=pause)
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"JAX_PLATFORMS": "cpu"}
    )
    assert result.stdout == ""
    return result.stderr


def test_a_long_compilation_is_announced_once():
    assert _run(0.1, "time.sleep(0.4)").count("compiling a program") == 1


def test_a_compilation_that_has_ended_is_not_announced():
    assert "compiling" not in _run(0.4, "")
