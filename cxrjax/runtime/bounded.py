"""Run functions in a separate process with limits on time and memory; a crash there is an exception here.

    with BoundedProcess(["package.module.function"], Bounds(max_seconds=30, max_memory=3 * 2**30)) as process:
        value = process.call("package.module.function", "argument")

The process is a fresh interpreter, so that it neither imports the caller's `__main__` nor inherits its threads. It has
the caller's `sys.path`, no standard input, and writes nothing to the terminal. It ends when its parent ends, even if
the parent is killed.
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
WALL_CLOCK_FACTOR = 3  # limit of wall-clock time over CPU time, for a process that waits or shares its core
_MAX_STARTUP_SECONDS = 180  # to import the modules, on a busy machine
_PIPE_BYTES = 2**20
_BOOTSTRAP = """
import json, sys
arguments = json.loads(sys.argv[1])
sys.path[:] = arguments.pop("path")
from cxrjax.runtime import bounded_worker
bounded_worker.serve(**arguments)
"""
# One thread: the decoders hardly parallelize, and every thread pool reserves address space.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}


@dataclass(frozen=True)
class Bounds:
    """Limits of one call.

    Attributes:
        max_seconds: CPU time; the wall-clock limit is `WALL_CLOCK_FACTOR` times as long.
        max_memory: bytes of address space beyond what the process has when it is ready.
    """

    max_seconds: float
    max_memory: int


class BoundsExceededError(Exception):
    """A call ended its process or exceeded its bounds; `str` is the reason, a sentence without a subject."""


class _ProcessDiedError(BoundsExceededError):
    """A call ended its process or ran out of memory; raised for anything but a timeout."""


class CallError(Exception):
    """An exception raised inside the process.

    Attributes:
        kind: the exception's qualified name, as "builtins.ValueError".
        message: the exception's text. It may quote the input.
    """

    def __init__(self, kind: str, message: str):
        super().__init__(kind, message)
        self.kind = kind
        self.message = message


class BoundedProcess:
    """A process that runs a fixed list of functions, one call at a time; it is restarted after a call that ended it.

    Arguments and results are the types that `messages` encodes: None, bool, int, float, str, bytes, NumPy arrays, lists
    and dicts of these. Threads may share it; their calls run one after the other. After a fork the child starts its own
    process.

    Args:
        functions: dotted names, "package.module.function".
        bounds: limits of every call.
        max_result: maximum size of a result in bytes; `bounds.max_memory` if None.
    """

    def __init__(self, functions: Sequence[str], bounds: Bounds, max_result: int | None = None):
        self._functions = list(functions)
        self._bounds = bounds
        self._max_result = bounds.max_memory if max_result is None else max_result
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._owner = os.getpid()
        self._ready = False
        self._calls = 0  # made to the current process

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the process without waiting until it is ready. The first call starts it as well.

        Raises:
            OSError: no process can be started.
        """
        self._reset_after_fork()
        with self._lock:
            self._ensure_started()

    def close(self) -> None:
        """End the process; a later call starts a new one."""
        self._reset_after_fork()
        with self._lock:
            self._kill()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self._reset_after_fork()
            self._kill()

    def call(self, function: str, *arguments: Any) -> Any:
        """Run one of the functions.

        Raises:
            BoundsExceededError: the function took too long or too much memory, or ended its process.
            CallError: the function raised an exception.
            OSError: no process can be started.
        """
        self._reset_after_fork()
        with self._lock:
            try:
                return self._call_once(function, arguments)
            except _ProcessDiedError:
                # An earlier call may have corrupted the heap or fragmented the memory: retry in a new process.
                if self._calls == 1:
                    raise
            return self._call_once(function, arguments)

    def _call_once(self, function: str, arguments: Sequence[Any]) -> Any:
        try:
            self._ensure_started()
            self._await_ready()
            self._calls += 1
            return self._exchange(function, arguments)
        except CallError:
            raise
        except BaseException:
            self._kill()  # a late answer must not be taken for that of the next call
            raise

    def _reset_after_fork(self) -> None:
        """Drop, after a fork, the process and the lock, which belong to the parent and its threads."""
        if self._owner == os.getpid():
            return
        self._owner = os.getpid()
        self._lock = threading.Lock()
        if self._process is not None:
            self._process.returncode = 0  # not this process's child: it cannot be waited for
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
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", env=environment
        )
        self._process = process
        self._ready = False
        self._calls = 0
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            _enlarge_pipe(pipe.fileno())

    def _await_ready(self) -> None:
        if self._ready:
            return
        deadline = time.monotonic() + _MAX_STARTUP_SECONDS
        try:
            ready = messages.decode(lambda count: self._read(count, deadline), _PIPE_BYTES)
        except BoundsExceededError as error:
            raise OSError(f"a process that reads files cannot start{self._last_stderr_line()}") from error
        if ready != READY:
            raise messages.MessageError(f"{ready!r} instead of {READY!r}")
        self._ready = True

    def _exchange(self, function: str, arguments: Sequence[Any]) -> Any:
        seconds = WALL_CLOCK_FACTOR * self._bounds.max_seconds
        deadline = time.monotonic() + seconds
        for part in messages.encode([self._functions.index(function), list(arguments)]):
            self._write(part, deadline)
        answer = messages.decode(lambda count: self._read(count, deadline), self._max_result)
        if "result" in answer:
            return answer["result"]
        if answer["kind"] == "builtins.MemoryError":
            raise _ProcessDiedError(self._memory_message())
        raise CallError(str(answer["kind"]), str(answer["message"]))

    def _write(self, data: messages.Buffer, deadline: float) -> None:
        assert self._process is not None and self._process.stdin is not None
        descriptor = self._process.stdin.fileno()
        remaining = memoryview(data).cast("B")
        while remaining:
            self._wait(descriptor, select.POLLOUT, deadline)
            try:
                remaining = remaining[os.write(descriptor, remaining) :]
            except BlockingIOError:
                continue
            except OSError:
                raise self._cause_of_death() from None

    def _read(self, count: int, deadline: float) -> bytearray:
        assert self._process is not None and self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        data = bytearray(count)
        remaining = memoryview(data)
        while remaining:
            self._wait(descriptor, select.POLLIN, deadline)
            try:
                received = os.readv(descriptor, [remaining])
            except BlockingIOError:
                continue
            if not received:
                raise self._cause_of_death()
            remaining = remaining[received:]
        return data

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise BoundsExceededError(self._timeout_message())

    def _cause_of_death(self) -> BoundsExceededError:
        assert self._process is not None
        try:
            status = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return _ProcessDiedError("its decoder stopped answering")
        if -status in (signal.SIGXCPU, signal.SIGALRM):
            return BoundsExceededError(self._timeout_message())
        if status == OUT_OF_MEMORY:
            return _ProcessDiedError(self._memory_message())
        if -status == signal.SIGKILL:
            return _ProcessDiedError("its decoder was killed, most likely because the machine ran out of memory")
        if status < 0:
            return _ProcessDiedError(f"its decoder crashed ({signal.Signals(-status).name})")
        return _ProcessDiedError(f"its decoder ended with status {status}")

    def _timeout_message(self) -> str:
        return f"takes more than {self._bounds.max_seconds:g} s to decode"

    def _memory_message(self) -> str:
        return f"takes more than {self._bounds.max_memory / 2**20:.0f} MiB of memory to decode"

    def _last_stderr_line(self) -> str:
        """Return the last line on standard error of a process that failed to start, in parentheses; "" if none."""
        assert self._process is not None and self._process.stderr is not None
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
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _search_path() -> list[str]:
    """Return `sys.path` as absolute paths, without the current folder and with the folder that holds this package."""
    package_root = str(Path(__file__).resolve().parents[2])
    paths = [os.path.abspath(path) for path in sys.path if path]
    return paths if package_root in map(os.path.realpath, paths) else [*paths, package_root]


def _enlarge_pipe(descriptor: int) -> None:
    """Raise the capacity of a pipe above 64 KiB, where the system allows it."""
    with contextlib.suppress(AttributeError, OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
