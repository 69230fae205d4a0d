"""Processes of the benchmark, each with its descendants in a session of its own, and the lines that they print."""

import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress


class LineReader:
    """Lines that a process prints, which a thread reads."""

    def __init__(self, output: Iterable[str]):
        """Start to read the output of a process."""
        self._output = output
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def is_at_end(self) -> bool:
        """Return whether the process has closed its output."""
        return not self._thread.is_alive()

    def next_line(self, seconds: float, is_wanted: Callable[[str], bool]) -> str | None:
        """Return the next line that is wanted; "" if it does not come in time, None if the output ends before it."""
        until = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return ""
            if line is None or is_wanted(line):
                return line

    def join(self) -> None:
        """Wait for the end of the output."""
        self._thread.join()

    def _read(self) -> None:
        for line in self._output:
            self._lines.put(line)
        self._lines.put(None)


def kill(process: "subprocess.Popen[str]") -> None:
    """Kill a process and its descendants."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
