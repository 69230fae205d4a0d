"""The notice of a long compilation."""

import subprocess
import sys

import pytest

from cxrjax.runtime import compile_notice

_PROGRAM = """
import time
import jax
from cxrjax.runtime import compile_notice

compile_notice.SECONDS = {seconds}
compile_notice.enable()
compile_notice.enable()


@compile_notice.describe_program("the classifier")
def classify(x):
    return x + 1


before = jax.jit({function}).lower(1.0)
{pause}
before.compile()
time.sleep(0.5)
"""


def _run(seconds: float, pause: str, function: str = "lambda x: x + 1") -> str:
    program = _PROGRAM.format(seconds=seconds, pause=pause, function=function)
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"JAX_PLATFORMS": "cpu"}
    )
    assert result.stdout == ""
    return result.stderr


def test_a_long_compilation_is_announced_once():
    assert _run(0.1, "time.sleep(0.4)").count("compiling a program") == 1


def test_a_program_that_is_described_is_named_in_plain_words():
    assert _run(0.1, "time.sleep(0.4)", "classify").startswith("cxrjax: compiling the classifier, once per setting")


def test_two_functions_of_one_name_have_one_title():
    def segment_twice():
        pass

    register = compile_notice.describe_program("the lungs")
    assert register(segment_twice) is register(segment_twice)
    with pytest.raises(ValueError, match="segment_twice: is the lungs elsewhere"):
        compile_notice.describe_program("the heart")(segment_twice)


def test_a_compilation_that_has_ended_is_not_announced():
    assert "compiling" not in _run(0.4, "")
