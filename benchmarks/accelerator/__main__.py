"""Measure correctness, speed compared with PyTorch, and training at the paper's sizes on a GPU or a TPU.

    python -m benchmarks.accelerator [--minutes=9] [--out=DIR] [--parts=correctness,inference]

Runs all of `parts.PARTS`, or the given ones in their order; a part is skipped, with a row that says so, if too little
time is left. Every row is printed immediately and written to DIR/accelerator.json; the table is written to
DIR/accelerator.md. During `correctness`, the CPU computes the reference results in float32 and all programs of the
other parts compile, so its times are not compared. `pack` prepares a machine without a network; `--sizes=tiny` checks
on any CPU that it runs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.accelerator import flags, full_training, peers, prepare, processes, single, training
from benchmarks.accelerator import sizes as all_sizes
from benchmarks.accelerator.parts import PARTS, PREFIX, Part
from benchmarks.accelerator.rows import Report, Row
from benchmarks.accelerator.sizes import Sizes
from benchmarks.accelerator.turns import Contestant
from benchmarks.runner import ROOT

COMPILING = 150.0  # seconds to wait for compilation before measuring
LAST = 5.0  # seconds reserved for writing the table
COMPILED = Path(tempfile.gettempdir()) / "cxrjax_accelerator"  # compilation caches for the next command
NEEDS_RUNS = ("correctness", "inference", "training", "flags", "disk", "profile", "full_training")
# Parts whose programs compile while other parts run (see `turns`).
CONTESTS: Mapping[str, Any] = {
    "training": training,
    "flags": flags,
    "disk": single.Contest("disk"),
    "profile": single.Contest("profile"),
    "full_training": full_training,
}


class Session:
    """One run of the parts, with its folder, its time limit, and its background processes."""

    def __init__(self, folder: Path, sizes: Sizes, size: str, seconds: float, out: Path):
        """Start the session; its time limit begins.

        Args:
            folder: temporary folder of the runs and references.
            sizes: sizes of all measurements.
            size: name of the sizes, "full" or "tiny".
            seconds: time limit.
            out: folder of the results.
        """
        self._folder = folder
        self._sizes = sizes
        self._size = size
        self._out = out
        self._end = time.monotonic() + seconds
        self._background: list[subprocess.Popen[str]] = []
        self._names: list[str] = []  # of the parts whose programs have to be compiled yet
        self._has_waited = False  # for the programs to be compiled
        self._contestants: dict[str, Mapping[Any, Contestant]] = {}  # by part
        self._environment = os.environ | {
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "JAX_COMPILATION_CACHE_DIR": str(COMPILED / "jax"),
            "TORCHINDUCTOR_CACHE_DIR": str(COMPILED / "inductor"),
            "TORCHINDUCTOR_COMPILE_THREADS": "4",  # many programs are compiled at once
        }

    @property
    def seconds_left(self) -> float:
        """Return the seconds until the time limit."""
        return self._end - time.monotonic()

    def begin(self, names: list[str]) -> None:
        """Start to write what parts need: the runs, and for `correctness` the references of the CPU."""
        self._names = names
        if set(names) & set(NEEDS_RUNS):
            references = ["references"] if "correctness" in names else []
            command = [sys.executable, "-m", "benchmarks.accelerator.prepare", *self._location(), *references]
            self._start_in_background(command, {"JAX_PLATFORMS": "cpu"})

    def rows(self, name: str) -> Iterator[Row]:
        """Run a part and yield its rows; most parts have their own process."""
        part = PARTS[name]
        if self.seconds_left < part.min_seconds + LAST:
            reason = f"skipped: {self.seconds_left:.0f} s are left, and it needs {part.min_seconds:.0f} s"
            yield Row(name, "all", reason)
            return
        if name in NEEDS_RUNS:
            if not self._wait_for_runs():
                yield Row(name, "all", "failed: the runs that it needs could not be written")
                return
            self._start_compiling()  # not before the machine has been measured
        if name == "inference" or name in CONTESTS:
            self._wait_until_compiled(COMPILING)
        if name in CONTESTS:
            yield from self._compete(name)
            return
        seconds = self._part_seconds(part)
        arguments = [name, *self._location(), str(seconds), str(self._out)]
        command = [sys.executable, "-m", "benchmarks.accelerator.parts", *arguments]
        process = self._start(command, part.environment or {}, subprocess.PIPE)
        yield from _read_rows(process, name, seconds)

    def end(self) -> None:
        """Stop the background work and all contestants."""
        for process in self._background:
            processes.kill(process)
        for contestants in self._contestants.values():
            for contestant in contestants.values():
                contestant.stop()

    def _location(self) -> list[str]:
        return [self._size, str(self._folder)]

    def _start(
        self, command: list[str], environment: Mapping[str, str], stdout: int | None = None
    ) -> "subprocess.Popen[str]":
        environment = self._environment | dict(environment)
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=stdout, text=True, start_new_session=True)

    def _start_in_background(self, command: list[str], environment: Mapping[str, str]) -> None:
        process = self._start(["nice", "-n", "5", *command], environment, subprocess.DEVNULL)
        self._background.append(process)

    def _start_compiling(self) -> None:
        """Start to compile all programs of PyTorch and of CONTESTS at once."""
        names = self._names
        self._names = []
        if "inference" in names and not self._sizes.tiny:
            for command in peers.compile_commands(self._sizes, self._folder):
                self._start_in_background(command, {})
        for name in [name for name in names if name in CONTESTS]:
            location = (self._sizes, *self._location(), self._out, self._environment)
            self._contestants[name] = CONTESTS[name].start(*location)

    def _compete(self, name: str) -> Iterator[Row]:
        """Let the contestants of a part measure, one after the other."""
        yield from CONTESTS[name].measure(self._contestants[name], self._part_seconds(PARTS[name]))

    def _part_seconds(self, part: Part) -> float:
        """Return the seconds that a part may take."""
        left = self.seconds_left - LAST
        return left if part.max_seconds is None else min(part.max_seconds, left)

    def _wait_for_runs(self) -> bool:
        """Wait until `prepare` has written the runs; return whether they are complete."""
        ready = self._folder / prepare.READY
        while not ready.exists() and self.seconds_left > 0 and self._background[0].poll() is None:
            time.sleep(0.2)
        return ready.exists()

    def _wait_until_compiled(self, seconds: float) -> None:
        """Wait once, at most `seconds`, for the background work and all contestants; then stop the background work."""
        if self._has_waited:
            return
        self._has_waited = True
        until = time.monotonic() + min(seconds, max(0.0, self.seconds_left - LAST))
        while time.monotonic() < until and any(process.poll() is None for process in self._background):
            time.sleep(0.2)
        for process in self._background:
            processes.kill(process)
        for contestants in self._contestants.values():
            for contestant in contestants.values():
                contestant.wait_until_ready(max(0.0, until - time.monotonic()))


def _read_rows(process: "subprocess.Popen[str]", name: str, seconds: float) -> Iterator[Row]:
    """Yield the rows that a part prints until it ends or its time is over."""
    until = time.monotonic() + seconds
    reader = processes.LineReader(process.stdout)
    while line := reader.next_line(until - time.monotonic(), lambda line: line.startswith(PREFIX)):
        yield Row(**json.loads(line[len(PREFIX) :]))
    if line == "":
        processes.kill(process)
        yield Row(name, "the rest of this part", f"stopped after {seconds:.0f} s")
    elif process.wait():
        yield Row(name, "the rest of this part", f"failed: its process ended with status {process.returncode}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=9.0, help="time limit (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("accelerator"), help="folder of the results")
    parser.add_argument("--parts", default=",".join(PARTS), help="parts to run (default: %(default)s)")
    parser.add_argument("--sizes", choices=("full", "tiny"), default="full", help="tiny: only check that it runs")
    options = parser.parse_args()
    names = options.parts.split(",")
    if set(names) - set(PARTS) or len(set(names)) != len(names):
        parser.error(f"--parts={options.parts}: the parts are {', '.join(PARTS)}")
    sizes = getattr(all_sizes, options.sizes.upper())
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    report = Report(out, {"command": sys.argv, "sizes": options.sizes, "minutes": options.minutes})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        session = Session(Path(folder), sizes, options.sizes, 60 * options.minutes, out)
        session.begin(names)
        try:
            for name in names:
                for row in session.rows(name):
                    report.add(row)
        finally:
            session.end()
            table = report.table()
            (out / "accelerator.md").write_text(table + "\n")
            print(f"\n{table}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
