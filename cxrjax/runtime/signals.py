"""End on SIGINT, SIGTERM and SIGHUP as a command of Unix does: soon, with one line and the status 130, 143 or 129.

Python calls a handler between two of its own instructions, and not while a program is compiled or runs. So a thread
learns of the signal too, from a pipe that the system writes to, and ends the process where it does not end by itself.
"""

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
GRACE = 5.0  # seconds from the signal to the end of the process, at most


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to end; `number` is the signal's."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


class _State:
    """The state of the process, of which there is one, as signal handlers are of the process."""

    received: int | None = None  # the number of the first signal
    raised = False  # whether `Interrupted` was; later signals are ignored, so that no clean-up is cut short
    announced = False
    deferred = 0  # depth of `deferred` blocks
    grace = GRACE


def received() -> int | None:
    """Return the number of the signal that was received, None before."""
    return _State.received


@contextmanager
def handled(explain: Callable[[], str]) -> Iterator[None]:
    """Turn the signals inside the block into one line on stderr and `SystemExit` of the signal's status.

    For the main thread of a command, once: GRACE seconds after a signal the process is ended whatever it does, unless
    it is in a `deferred` block. All that is written by `atomic_files.write` is whole even then.

    Args:
        explain: returns what the line says after the signal's name, as "the same command goes on from there".

    Raises:
        SystemExit: a signal was received.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for number in SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # which nohup has ignored
            signal.signal(number, _raise)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader, explain), daemon=True).start()
    sys.unraisablehook = _raise_again
    try:
        yield
    except BaseException as error:  # an import or a library may have made another error of `Interrupted`
        if _State.received is None and not isinstance(error, KeyboardInterrupt):
            raise
        _State.raised = True
        number = _State.received or signal.SIGINT
        _announce(number, explain)
        raise SystemExit(128 + number) from None


@contextmanager
def deferred(grace: float) -> Iterator[Callable[[], bool]]:
    """Let the block end by itself when a signal is received: nothing is raised in it, but at its end.

    A training polls the function between two steps, and saves a checkpoint before it leaves the block. A second signal
    is raised at once.

    Args:
        grace: seconds that the block may take after the signal, before the process is ended.

    Yields:
        A function that returns whether a signal was received.

    Raises:
        Interrupted: at the end of the block, a signal was received in it.
    """
    former = _State.grace
    _State.deferred += 1
    _State.grace = grace
    try:
        yield lambda: _State.received is not None
    finally:
        _State.deferred -= 1
        _State.grace = former
    if _State.received is not None and not _State.deferred:
        _State.raised = True
        raise Interrupted(_State.received)


def _raise(number: int, frame: object) -> None:
    first = _State.received is None
    if first:
        _State.received = number
    if _State.raised or (first and _State.deferred):
        return
    _State.raised = True
    raise Interrupted(_State.received)


def _raise_again(unraisable: "sys.UnraisableHookArgs") -> None:
    """Raise once more what was raised where Python drops errors, as in the clean-up of an object."""
    if not isinstance(unraisable.exc_value, Interrupted):
        sys.__unraisablehook__(unraisable)
        return
    _State.raised = False
    threading.Timer(0.1, os.kill, (os.getpid(), unraisable.exc_value.number)).start()


def _watch(reader: int, explain: Callable[[], str]) -> None:
    """Wait for a signal, and end the process where it has not ended by itself after the grace."""
    number = None
    deadline = None
    while deadline is None or time.monotonic() < deadline:
        timeout = None if deadline is None else max(0, deadline - time.monotonic())
        readable, _, _ = select.select([reader], [], [], timeout)
        caught = [each for each in os.read(reader, 64) if each in SIGNALS] if readable else []
        if caught and deadline is None:
            number = caught.pop(0)
            deadline = time.monotonic() + _State.grace
        if caught:  # again: out of patience
            deadline = min(deadline, time.monotonic() + GRACE)
    _announce(number, explain)
    os._exit(128 + number)


def _announce(number: int, explain: Callable[[], str]) -> None:
    if _State.announced:
        return
    _State.announced = True
    with suppress(OSError, ValueError, AttributeError):  # stderr may be closed
        terminal.warn(f"stopped by {signal.Signals(number).name}; {explain()}")
