"""A process with limits: a call that ends it is an error, and the next call is answered."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from cxrjax.runtime import messages
from cxrjax.runtime.bounded import BoundedProcess, Bounds, BoundsExceededError, CallError

MIB = 2**20
FUNCTIONS = """
import ctypes, os, time
import numpy as np
from cxrjax.runtime import stderr_capture

count = 0

def echo(value):
    return value

def spin():
    while True:
        pass

def wait(seconds):
    time.sleep(seconds)

def allocate(size):
    return len(bytearray(size))

def crash():
    ctypes.string_at(0)

def crash_second_time():
    global count
    count += 1
    if count == 2:
        ctypes.string_at(0)
    return count

def fail():
    raise LookupError("of the file")

def leave():
    raise SystemExit("of a library")

def surroundings():
    return [os.getcwd(), os.read(0, 1), os.getpid()]

def complain():
    os.write(2, b"Corrupt JPEG data")
    os.write(1, b"!")
    return stderr_capture.read_new()

def unsendable():
    return object()
"""
NAMES = [f"functions_of_a_test.{line.split()[1].split('(')[0]}" for line in FUNCTIONS.splitlines() if "def " in line]


@pytest.fixture(scope="module")
def call(tmp_path_factory):
    """Calls a function of `FUNCTIONS` within a second of CPU and 200 MiB."""
    folder = tmp_path_factory.mktemp("functions")
    (folder / "functions_of_a_test.py").write_text(FUNCTIONS)
    sys.path.insert(0, str(folder))
    try:
        with BoundedProcess(NAMES, Bounds(max_seconds=1, max_memory=200 * MIB)) as process:
            yield lambda name, *arguments: process.call(f"functions_of_a_test.{name}", *arguments)
    finally:
        sys.path.remove(str(folder))


def test_values_round_trip(call):
    value = [None, True, -3, 0.1, "é\udcff\n", b"\0\xff", {"a": [b""], "b": {}}]
    assert call("echo", value) == value
    for array in (np.arange(6, dtype=">u2").reshape(2, 3), np.zeros((0, 4)), np.array(3, np.float32)):
        got = call("echo", array)
        assert (got.dtype, got.shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(got, array)


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("spin", [], "takes more than 1 s to decode"),
        ("wait", [60], "takes more than 1 s to decode"),
        ("allocate", [2**30], "takes more than 200 MiB of memory to decode"),
        ("crash", [], "its decoder crashed (SIGSEGV)"),
    ],
)
def test_call_beyond_its_bounds_is_an_error_and_the_next_is_answered(call, name, arguments, reason):
    with pytest.raises(BoundsExceededError) as error:
        call(name, *arguments)
    assert str(error.value) == reason
    assert call("echo", 1) == 1


def test_crash_after_an_earlier_call_is_retried_once(call):
    assert [call("crash_second_time") for _ in range(3)] == [1, 1, 1]


def test_exceptions_are_returned_with_name_and_text(call):
    for name, kind, message in [
        ("fail", "builtins.LookupError", "of the file"),
        ("leave", "builtins.SystemExit", "of a library"),
    ]:
        with pytest.raises(CallError) as error:
            call(name)
        assert (error.value.kind, error.value.message) == (kind, message)
    with pytest.raises(CallError, match="object cannot be sent"):
        call("unsendable")


def test_process_reads_no_stdin_and_writes_to_no_terminal(call, capfd):
    folder, read, process = call("surroundings")
    assert (folder, read) == ("/", b"")
    assert process != os.getpid()
    assert call("complain") == "Corrupt JPEG data!"
    assert capfd.readouterr() == ("", "")


def test_threads_get_their_own_answers(call):
    got = {}
    threads = [threading.Thread(target=lambda n=n: got.update({n: call("echo", n)})) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {n: n for n in range(8)}


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_process_ends_with_its_parent_even_during_a_call(tmp_path, end):
    (tmp_path / "functions_of_a_test.py").write_text(FUNCTIONS)
    script = """
    import signal, sys
    from cxrjax.runtime.bounded import BoundedProcess, Bounds
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell's background job ignores it
    sys.path.insert(0, sys.argv[1])
    with BoundedProcess(["functions_of_a_test.spin", "functions_of_a_test.surroundings"], Bounds(50, 2**28)) as process:
        print(process.call("functions_of_a_test.surroundings")[2], flush=True)
        process.call("functions_of_a_test.spin")
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    process = int(parent.stdout.readline())
    parent.send_signal(end)
    parent.communicate(timeout=60)
    assert parent.returncode == -end
    for _ in range(600):
        if not _runs(process):
            return
        time.sleep(0.1)
    pytest.fail(f"process {process} outlives its parent")


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    "head",
    [b"{", b"[]", b'{"tree": 1}', b'{"tree": {"array": 0, "dtype": "O", "shape": [1]}, "sizes": [8]}',
     b'{"tree": {"array": 0, "dtype": "u1", "shape": [9]}, "sizes": [8]}', b'{"tree": 1, "sizes": [-1]}',
     b'{"tree": 1, "sizes": [1000]}', b"[" * 100_000],
)  # fmt: skip
def test_invalid_messages_are_refused(head):
    data = bytearray(len(head).to_bytes(8, "little") + head + bytes(2000))

    def read(count: int) -> bytearray:
        taken = data[:count]
        del data[:count]
        return taken

    with pytest.raises(messages.MessageError):
        messages.decode(read, max_bytes=200_000 if len(head) > 1000 else 500)
