"""The loop that runs inside the process of `bounded.BoundedProcess`."""

import importlib
import math
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from cxrjax.runtime import messages, stderr_capture
from cxrjax.runtime.bounded import OUT_OF_MEMORY, READY, WALL_CLOCK_FACTOR

_MAX_REQUEST = 2**40  # bytes; the parent is trusted
_MAX_FILE = 2**20  # bytes of any file that the process writes, including the captured standard error
_MAX_MESSAGE = 10_000  # characters of an exception's text
_POLL_SECONDS = 0.5
_GRACE_SECONDS = 5  # the parent ends a call that takes too long before this process ends itself


def serve(functions: Sequence[str], parent: int, max_seconds: float, max_memory: int) -> None:
    """Run calls until the parent closes its end of the pipe or dies; does not return.

    Args:
        functions: dotted names; a request names a function by its index in this list.
        parent: process id of the parent.
        max_seconds: see `bounded.Bounds`.
        max_memory: see `bounded.Bounds`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and ends this process
    for number in (signal.SIGALRM, signal.SIGXCPU):  # children inherit that a parent ignores or blocks them
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM, signal.SIGXCPU})
    threading.Thread(target=_exit_with_parent, args=[parent], daemon=True).start()
    requests, responses = _take_over_pipes()
    calls = [_resolve(name) for name in functions]
    stderr_capture.start()
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, _MAX_FILE)
    if (size := _address_space()) is not None:
        _limit(resource.RLIMIT_AS, size + max_memory)
    _send(responses, READY)
    while True:
        try:
            index, arguments = messages.decode(lambda count: _read(requests, count), _MAX_REQUEST)
        except EOFError:
            os._exit(0)
        except MemoryError:  # the rest of the request is in the pipe: the parent starts another process
            os._exit(OUT_OF_MEMORY)
        # Both limits end the process inside a decoder that never returns, even if the parent is gone.
        _limit(resource.RLIMIT_CPU, math.ceil(time.process_time() + max_seconds))
        signal.setitimer(signal.ITIMER_REAL, WALL_CLOCK_FACTOR * max_seconds + _GRACE_SECONDS)
        answer = _run(calls[index], arguments)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(responses, answer)


def _run(function: Callable[..., Any], arguments: Sequence[Any]) -> dict[str, Any]:
    stderr_capture.read_new()  # discard the output of the last call
    try:
        return {"result": function(*arguments)}
    except BaseException as error:  # decoders in Rust panic beside Exception
        kind = type(error)
        return {"kind": f"{kind.__module__}.{kind.__qualname__}", "message": str(error)[:_MAX_MESSAGE]}


def _resolve(name: str) -> Callable[..., Any]:
    module, _, function = name.rpartition(".")
    return getattr(importlib.import_module(module), function)


def _take_over_pipes() -> tuple[int, int]:
    """Move the pipes to the parent away from descriptors 0 and 1, which become the null device and standard error."""
    requests = os.dup(0)
    responses = os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return requests, responses


def _limit(kind: int, value: int) -> None:
    """Lower a resource limit of this process; a lower limit set by the system or the user stays."""
    soft, hard = resource.getrlimit(kind)
    current_limits = [hard, soft] if kind == resource.RLIMIT_AS else [hard]
    finite_limits = [limit for limit in current_limits if limit != resource.RLIM_INFINITY]
    try:
        resource.setrlimit(kind, (min([value, *finite_limits]), hard))
    except (OSError, ValueError):  # macOS does not limit the address space
        return


def _address_space() -> int | None:
    """Return the size of this process's address space in bytes; None where the system does not report it."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except (OSError, ValueError):
        return None


def _exit_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os._exit(0)


def _read(descriptor: int, count: int) -> bytearray:
    data = bytearray(count)
    remaining = memoryview(data)
    while remaining:
        received = os.readv(descriptor, [remaining])
        if not received:
            raise EOFError
        remaining = remaining[received:]
    return data


def _send(descriptor: int, value: Any) -> None:
    try:
        parts = messages.encode(value)
    except messages.MessageError as error:
        parts = messages.encode({"kind": "cxrjax.runtime.messages.MessageError", "message": str(error)})
    for part in parts:
        remaining = memoryview(part).cast("B")
        while remaining:
            remaining = remaining[os.write(descriptor, remaining) :]
