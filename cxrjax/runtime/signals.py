"""Handling of SIGINT, SIGTERM and SIGHUP: the process ends soon, with one line and the status 130, 143 or 129.

Python calls a signal handler between two of its own instructions, so not while a program is compiled or runs. A thread
is therefore notified too, through a pipe that the system writes to, and ends the process if it does not end by itself.
"""

import atexit
import math
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from cxrjax.runtime import terminal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_SECONDS = 5.0  # seconds from the signal to the end of the process, at most


class Interrupted(KeyboardInterrupt):
    """A signal to end was received; `number` is the number of the signal."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


class _State:
    """State of the process; global, since signal handlers are."""

    received: int | None = None  # the number of the first signal
    raised = False  # whether `Interrupted` was raised; later signals are ignored, so that clean-up can finish
    announced = False
    deferred = 0  # depth of `deferred` blocks
    grace = GRACE_SECONDS


def received() -> int | None:
    """Return the number of the signal that was received; None if none was."""
    return _State.received


@contextmanager
def handled(explain: Callable[[], str]) -> Iterator[None]:
    """Turn signals inside the block into one line on stderr and `SystemExit` with the signal's status.

    For the main thread of a command, once. GRACE_SECONDS after a signal the process is ended, unless it is in a
    `deferred` block. Files written by `atomic_files.atomic_write` are complete or absent even then.

    Args:
        explain: returns the end of the line after the signal's name, as "the same command resumes from there".

    Raises:
        SystemExit: a signal was received.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    atexit.register(_exit_at_once)
    for number in SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, _raise)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader, explain), daemon=True).start()
    sys.unraisablehook = _reraise_later
    try:
        yield
    except BaseException as error:  # an import or a library may have replaced `Interrupted` by another error
        if _State.received is None and not isinstance(error, KeyboardInterrupt):
            raise
        _State.raised = True
        number = _State.received or signal.SIGINT
        _announce(number, explain)
        raise SystemExit(128 + number) from None


@contextmanager
def deferred(grace: float) -> Iterator[Callable[[], bool]]:
    """Delay the exception of a signal until the end of the block.

    A training polls the yielded function between two steps, and saves a checkpoint before it leaves the block. A second
    signal raises at once.

    Args:
        grace: seconds from the signal until the process is ended, even inside the block.

    Yields:
        A function that returns whether a signal was received.

    Raises:
        Interrupted: at the end of the block, if a signal was received in it.
    """
    former_grace = _State.grace
    _State.deferred += 1
    _State.grace = grace
    try:
        yield lambda: _State.received is not None
    finally:
        _State.deferred -= 1
        _State.grace = former_grace
    if _State.received is not None and not _State.deferred:
        _State.raised = True
        raise Interrupted(_State.received)


def _exit_at_once() -> None:
    """End the process after a signal, without the destructors of C++, which crash threads that still compile.

    The first registered function is the last that `atexit` calls, so that all others have run.
    """
    if _State.received is not None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # it may be closed
                stream.flush()
        os._exit(128 + _State.received)


def _raise(number: int, frame: object) -> None:
    is_first = _State.received is None
    received_number = number if _State.received is None else _State.received
    _State.received = received_number
    if _State.raised or (is_first and _State.deferred):
        return
    _State.raised = True
    raise Interrupted(received_number)


def _reraise_later(unraisable: "sys.UnraisableHookArgs") -> None:
    """Send the signal again if `Interrupted` was raised where Python drops exceptions, as in a `__del__`."""
    if not isinstance(unraisable.exc_value, Interrupted):
        sys.__unraisablehook__(unraisable)
        return
    _State.raised = False
    threading.Timer(0.1, os.kill, (os.getpid(), unraisable.exc_value.number)).start()


def _watch(reader: int, explain: Callable[[], str]) -> None:
    """Wait for a signal, and end the process if it has not ended by itself after the grace period."""
    number = 0
    deadline = math.inf
    while time.monotonic() < deadline:
        timeout = max(0, deadline - time.monotonic()) if number else None
        readable, _, _ = select.select([reader], [], [], timeout)
        caught = [byte for byte in os.read(reader, 64) if byte in SIGNALS] if readable else []
        if caught and not number:
            number = caught.pop(0)
            deadline = time.monotonic() + _State.grace
        if caught:  # a repeated signal shortens the grace period
            deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
    _announce(number, explain)
    os._exit(128 + number)


def _announce(number: int, explain: Callable[[], str]) -> None:
    if _State.announced:
        return
    _State.announced = True
    with suppress(OSError, ValueError, AttributeError):  # stderr may be closed
        terminal.warn(f"stopped by {signal.Signals(number).name}; {explain()}")
