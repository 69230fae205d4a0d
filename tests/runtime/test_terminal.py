"""Printed text has no control characters, and printing does not fail."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cxrjax.runtime import terminal
from cxrjax.runtime.terminal import escape

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain 肺 é.png", "plain 肺 é.png"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x9b31m", "\\x9b31m"),  # the control of one byte that begins as ESC [ does
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("R\udcf6ntgen.png", "R\\xf6ntgen.png"),  # a byte that is not UTF-8
        ("\u2028", "\\u2028"),
    ],
)
def test_control_characters_are_escaped(text, escaped):
    assert escape(text) == escaped
    assert escape("a\n\x1b", allowed="\n") == "a\n\\x1b"


def run(body, shell):
    program = "from cxrjax.runtime import terminal; terminal.guard_streams(); import sys, os\n" + body
    return subprocess.run(
        ["bash", "-c", f'"$0" -c "$1" {shell}', sys.executable, program],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


MANY = "for i in range(20000): print('line', i)\nprint('done', file=sys.stderr)\nsys.exit(3)"


def test_closed_pipe_does_not_stop_the_process():
    result = run(MANY, "| head -1; exit ${PIPESTATUS[0]}")
    assert result.returncode == 3 and (result.stdout, result.stderr) == ("line 0\n", "done\n")


def test_full_device_is_an_error_without_a_traceback():
    body = "try:\n  print('x')\nexcept OSError as error:\n  print(error.strerror, file=sys.stderr)\nsys.exit(1)"
    result = run(body, "> /dev/full")
    assert (result.returncode, result.stderr) == (1, "No space left on device\n")


def test_descriptor_of_a_closed_stream_is_not_reused(tmp_path):
    body = f"file = open({str(tmp_path / 'data')!r}, 'w'); print('lost', file=sys.stderr); os.write(2, b'lost')"
    for shell in ("2>&-", ">&- 2>&-", "<&- >&- 2>&-"):
        assert run(f"{body}; assert file.fileno() > 2", shell).returncode == 0
        assert (tmp_path / "data").read_text() == ""


def test_log_handler_of_the_former_stream_still_writes():
    program = "import sys, logging; log = logging.StreamHandler(sys.stderr); from cxrjax.runtime import terminal\n"
    program += "terminal.guard_streams(); logging.getLogger().addHandler(log); print('a', file=sys.stderr)\n"
    program += "logging.error('b')"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "a\nb\n")


def test_characters_outside_the_encoding_are_escaped():
    result = run("print('\\u80ba')", "")
    assert result.returncode == 0
    result = subprocess.run(
        [sys.executable, "-c", "from cxrjax.runtime import terminal; terminal.guard_streams(); print('\u80ba')"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        env={"PYTHONIOENCODING": "ascii", "PATH": ""},
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (0, "\\u80ba\n")


def test_closed_terminal_does_not_stop_the_process():
    master, slave = os.openpty()
    with open(slave, "w") as file:
        stream = terminal._Guarded(file)
        os.close(master)
        stream.write("lost\n")
        stream.write("lost too\n")
        stream.detach()
