"""Processes that compile at the same time and measure one after the other, for a device available for minutes."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.accelerator import processes
from benchmarks.accelerator.rows import Row

READY = "READY"


def wait_for_turn() -> float:
    """Report that everything is compiled, and wait for the turn; return the seconds that it may take."""
    print(READY, flush=True)
    return float(sys.stdin.readline())


class Contestant:
    """A process that compiles, waits for its turn, and then prints its measurement as a line of JSON."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], cwd: Path):
        """Start the process, which begins to compile."""
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 the process writes to it
        self._process = subprocess.Popen(
            ["nice", "-n", "5", *command],
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,
        )
        self._is_ready: bool | None = None  # None: not known yet
        self._was_killed = False
        self._error_text = ""
        self._reader = processes.LineReader(self._process.stdout)

    def wait_until_ready(self, seconds: float) -> bool:
        """Wait at most `seconds` until everything is compiled; return whether it is."""
        if self._is_ready is None:
            line = self._reader.next_line(seconds, lambda line: line.strip() == READY)
            self._is_ready = None if line == "" else line is not None
        return bool(self._is_ready)

    def give_turn(self, seconds: float) -> None:
        """Let the process measure for `seconds`."""
        with suppress(BrokenPipeError):  # it has ended; there will be no measurement
            self._process.stdin.write(f"{seconds}\n")
            self._process.stdin.flush()

    def read_measurement(self, seconds: float) -> dict[str, Any] | None:
        """Wait at most `seconds` for the measurement; return None if there is none."""
        line = self._reader.next_line(seconds, lambda line: line.startswith("{"))
        return json.loads(line) if line else None

    def measure(self, seconds: float) -> dict[str, Any] | None:
        """Give the turn if everything is compiled, and return the measurement; None if there is none."""
        measurement = None
        if self.wait_until_ready(0):
            self.give_turn(seconds)
            measurement = self.read_measurement(seconds)
        self.stop()
        return measurement

    def read_rows(self, part: str, seconds: float) -> Iterator[Row]:
        """Yield the rows that the process prints in at most `seconds`, until it ends."""
        until = time.monotonic() + seconds
        while line := self._reader.next_line(until - time.monotonic(), lambda line: line.startswith("{")):
            yield Row(**json.loads(line))
        if line == "" or self._process.wait():
            yield Row(part, "the rest of this part", self.describe_failure())

    def describe_failure(self) -> str:
        """Return why there is no measurement."""
        self.stop()
        return "it did not compile or measure in time" if self._was_killed else f"failed: {self._error_text[-300:]}"

    def stop(self) -> None:
        """Kill the process if it runs, and close its files."""
        if self._errors.closed:
            return
        if self._reader.is_at_end:  # it has closed its output, and is about to end
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        self._was_killed = self._process.poll() is None
        processes.kill(self._process)
        self._reader.join()
        self._errors.seek(0)
        self._error_text = self._errors.read().strip()
        for file in (self._errors, self._process.stdout, self._process.stdin):
            with suppress(BrokenPipeError):
                file.close()
