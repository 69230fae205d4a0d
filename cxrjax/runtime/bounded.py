"""Functions that run in a process of their own, bounded in time and memory: what it dies of is an error, not our end.

    with BoundedProcess(["package.module.function"], Bounds(max_seconds=30, max_memory=3 * 2**30)) as process:
        value = process.call("package.module.function", "argument")

The process is a fresh interpreter, so that it neither imports the caller's `__main__` nor inherits its threads. It has
the caller's `sys.path`, no standard input, and writes nothing to the terminal. It ends with its parent, however that
ends.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cxrjax.runtime import messages

READY = "ready"
OUT_OF_MEMORY = 86  # exit status
WALL_CLOCK_FACTOR = 3  # a process that waits, or shares its core, may take this many times its seconds of CPU
_MAX_STARTUP_SECONDS = 180  # on a busy machine, until its modules are imported
_PIPE_BYTES = 2**20
_BOOTSTRAP = """
import json, sys
arguments = json.loads(sys.argv[1])
sys.path[:] = arguments.pop("path")
from cxrjax.runtime import bounded_worker
bounded_worker.serve(**arguments)
"""
# One thread: the decoders have little to share out, and every pool of threads reserves address space.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}


@dataclass(frozen=True)
class Bounds:
    """What one call may take.

    Attributes:
        max_seconds: of CPU time; `WALL_CLOCK_FACTOR` times as much by the clock on the wall.
        max_memory: bytes of address space beyond what the process has when it is ready.
    """

    max_seconds: float
    max_memory: int


class BoundsExceeded(Exception):
    """A call that ended its process or went beyond its bounds; `str` says which, in a sentence without a subject."""


class _Died(BoundsExceeded):
    """A call that ended its process or found no memory, rather than taking too long."""


class CallFailed(Exception):
    """An exception inside the process.

    Attributes:
        kind: the exception's qualified name, as "builtins.ValueError".
        message: the exception's text. It may quote the input.
    """

    def __init__(self, kind: str, message: str):
        super().__init__(kind, message)
        self.kind = kind
        self.message = message


class BoundedProcess:
    """A process that runs a fixed list of functions, one call at a time; started again after one that ended it.

    Arguments and results are what `messages` can send: None, bool, int, float, str, bytes, NumPy arrays, lists and
    dicts of these. Threads may share it; their calls wait for one another. After a fork the child starts a process of
    its own.

    Args:
        functions: dotted names, "package.module.function".
        bounds: of every call.
        max_result: the most bytes that a result may take.
    """

    def __init__(self, functions: Sequence[str], bounds: Bounds, max_result: int | None = None):
        self._functions = list(functions)
        self._bounds = bounds
        self._max_result = bounds.max_memory if max_result is None else max_result
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._owner = os.getpid()
        self._ready = False
        self._calls = 0  # of the present process

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the process, and return without waiting until it is ready. A call starts it too.

        Raises:
            OSError: no process can be started.
        """
        self._leave_to_parent()
        with self._lock:
            self._ensure_started()

    def close(self) -> None:
        """End the process; a later call starts another."""
        self._leave_to_parent()
        with self._lock:
            self._kill()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self._leave_to_parent()
            self._kill()

    def call(self, function: str, *arguments: Any) -> Any:
        """Run one of the functions.

        Raises:
            BoundsExceeded: it took too long or too much memory, or ended its process.
            CallFailed: it raised an exception.
            OSError: no process can be started.
        """
        self._leave_to_parent()
        with self._lock:
            try:
                return self._call_once(function, arguments)
            except _Died:
                # Of a fault that an earlier call left behind, perhaps: its heap in disorder or its memory in pieces.
                if self._calls == 1:
                    raise
            return self._call_once(function, arguments)

    def _call_once(self, function: str, arguments: Sequence[Any]) -> Any:
        try:
            self._ensure_started()
            self._await_ready()
            self._calls += 1
            return self._converse(function, arguments)
        except CallFailed:
            raise
        except BaseException:
            self._kill()  # its answer may yet come, and must not be taken for that of the next call
            raise

    def _leave_to_parent(self) -> None:
        """Forget, after a fork, the process and the lock, which belong to the parent and its threads."""
        if self._owner == os.getpid():
            return
        self._owner = os.getpid()
        self._lock = threading.Lock()
        if self._process is not None:
            self._process.returncode = 0  # nobody's to wait for
            self._process = None

    def _ensure_started(self) -> None:
        if self._process and self._process.poll() is None:
            return
        self._kill()
        arguments = {
            "path": _search_path(),
            "functions": self._functions,
            "parent": os.getpid(),
            "max_seconds": self._bounds.max_seconds,
            "max_memory": self._bounds.max_memory,
        }
        command = [sys.executable, "-P", "-W", "ignore", "-c", _BOOTSTRAP, json.dumps(arguments)]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONINSPECT"} | _ENVIRONMENT
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", env=environment
        )
        self._ready = False
        self._calls = 0
        for pipe in (self._process.stdin, self._process.stdout):
            os.set_blocking(pipe.fileno(), False)
            _widen(pipe.fileno())

    def _await_ready(self) -> None:
        if self._ready:
            return
        deadline = time.monotonic() + _MAX_STARTUP_SECONDS
        try:
            ready = messages.decode(lambda count: self._read(count, deadline), _PIPE_BYTES)
        except BoundsExceeded as error:
            raise OSError(f"a process that reads files cannot start{self._complaint()}") from error
        if ready != READY:
            raise messages.BadMessage(f"{ready!r} instead of {READY!r}")
        self._ready = True

    def _converse(self, function: str, arguments: Sequence[Any]) -> Any:
        seconds = WALL_CLOCK_FACTOR * self._bounds.max_seconds
        deadline = time.monotonic() + seconds
        for part in messages.encode([self._functions.index(function), list(arguments)]):
            self._write(part, deadline)
        answer = messages.decode(lambda count: self._read(count, deadline), self._max_result)
        if "result" in answer:
            return answer["result"]
        if answer["kind"] == "builtins.MemoryError":
            raise _Died(self._too_much_memory())
        raise CallFailed(str(answer["kind"]), str(answer["message"]))

    def _write(self, data: messages.Buffer, deadline: float) -> None:
        descriptor = self._process.stdin.fileno()
        left = memoryview(data).cast("B")
        while left:
            self._wait(descriptor, select.POLLOUT, deadline)
            try:
                left = left[os.write(descriptor, left) :]
            except BlockingIOError:
                continue
            except OSError:
                raise self._cause_of_death() from None

    def _read(self, count: int, deadline: float) -> bytearray:
        descriptor = self._process.stdout.fileno()
        data = bytearray(count)
        left = memoryview(data)
        while left:
            self._wait(descriptor, select.POLLIN, deadline)
            try:
                received = os.readv(descriptor, [left])
            except BlockingIOError:
                continue
            if not received:
                raise self._cause_of_death()
            left = left[received:]
        return data

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise BoundsExceeded(self._too_long())

    def _cause_of_death(self) -> BoundsExceeded:
        try:
            status = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return _Died("its decoder stopped answering")
        if -status in (signal.SIGXCPU, signal.SIGALRM):
            return BoundsExceeded(self._too_long())
        if status == OUT_OF_MEMORY:
            return _Died(self._too_much_memory())
        if -status == signal.SIGKILL:
            return _Died("its decoder was killed, most likely because the machine ran out of memory")
        if status < 0:
            return _Died(f"its decoder crashed ({signal.Signals(-status).name})")
        return _Died(f"its decoder ended with status {status}")

    def _too_long(self) -> str:
        return f"takes more than {self._bounds.max_seconds:g} s to decode"

    def _too_much_memory(self) -> str:
        return f"takes more than {self._bounds.max_memory / 2**20:.0f} MiB of memory to decode"

    def _complaint(self) -> str:
        """Return the last line that a process wrote before it failed to start."""
        self._process.kill()
        lines = self._process.stderr.read().decode(errors="replace").strip().splitlines()
        return f" ({lines[-1][:200]})" if lines else ""

    def _kill(self) -> None:
        process = self._process
        self._process = None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError):
                pipe.close()


def _search_path() -> list[str]:
    """Return `sys.path` without a current folder that may change, with the folder of this package."""
    here = str(Path(__file__).resolve().parents[2])
    paths = [os.path.abspath(path) for path in sys.path if path]
    return paths if here in map(os.path.realpath, paths) else [*paths, here]


def _widen(descriptor: int) -> None:
    """Let a pipe hold more than 64 KiB, where the system allows it."""
    with contextlib.suppress(AttributeError, OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
