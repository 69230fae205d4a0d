"""A part whose rows one process measures, which compiles before its turn (see `turns`)."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.accelerator.rows import Row
from benchmarks.accelerator.sizes import Sizes
from benchmarks.accelerator.turns import Contestant
from benchmarks.runner import ROOT


class Contest:
    """A part with one process."""

    def __init__(self, name: str):
        """Name the part, one of `contestant.KINDS`."""
        self._name = name

    def start(
        self, sizes: Sizes, size: str, folder: Path, out: Path, environment: Mapping[str, str]
    ) -> Mapping[str, Contestant]:
        """Start the process, which begins to compile."""
        arguments = [size, str(folder), str(out), self._name]
        command = [sys.executable, "-m", "benchmarks.accelerator.contestant", *arguments]
        return {self._name: Contestant(command, environment, ROOT)}

    def measure(self, contestants: Mapping[str, Contestant], seconds: float) -> Iterator[Row]:
        """Yield the rows; each is measured when it is yielded."""
        contestant = contestants[self._name]
        if not contestant.wait_until_ready(0):
            yield Row(self._name, "all", contestant.describe_failure())
            return
        contestant.give_turn(seconds)
        yield from contestant.read_rows(self._name, seconds)
        contestant.stop()
