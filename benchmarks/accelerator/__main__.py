"""Measure correctness, speed compared with PyTorch, and training at the paper's sizes on a GPU or a TPU.

    python -m benchmarks.accelerator [--minutes=9] [--out=DIR] [--parts=correctness,inference]

Runs all of `parts.PARTS`, most important first; a part is skipped, with a row that says so, if too little time is left.
Every row is printed immediately and written to DIR/accelerator.json; the table is written to DIR/accelerator.md. During
the first parts, the CPU computes the reference results in float32 and PyTorch compiles, so times of these parts are not
compared. `pack` prepares a machine without a network; `--sizes=tiny` checks on any CPU that it runs.
"""

import argparse
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from benchmarks.accelerator import peers, prepare
from benchmarks.accelerator import sizes as all_sizes
from benchmarks.accelerator.parts import PARTS, PREFIX
from benchmarks.accelerator.rows import Report, Row
from benchmarks.accelerator.sizes import Sizes
from benchmarks.runner import ROOT

COMPILING = 60.0  # seconds to wait for PyTorch's compilation before measuring
LAST = 5.0  # seconds reserved for writing the table
COMPILED = Path(tempfile.gettempdir()) / "cxrjax_accelerator"  # compilation caches for the next command
NEEDS_RUNS = ("correctness", "inference", "training", "disk")


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
        self._background: list[subprocess.Popen[bytes]] = []
        self._compiling: threading.Thread | None = None
        self._closed = False
        self._environment = os.environ | {
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "JAX_COMPILATION_CACHE_DIR": str(COMPILED / "jax"),
            "TORCHINDUCTOR_CACHE_DIR": str(COMPILED / "inductor"),
        }

    @property
    def seconds_left(self) -> float:
        """Return the seconds until the time limit."""
        return self._end - time.monotonic()

    def begin(self, names: list[str]) -> None:
        """Start the background work: runs and references on the CPU, and PyTorch's compilation."""
        cpu = {"JAX_PLATFORMS": "cpu"}
        if set(names) & set(NEEDS_RUNS):
            self._start([sys.executable, "-m", "benchmarks.accelerator.prepare", *self._location()], cpu)
        if {"inference", "training"} & set(names) and not self._sizes.tiny:
            self._compiling = threading.Thread(target=self._compile_peers, daemon=True)
            self._compiling.start()

    def rows(self, name: str) -> Iterator[Row]:
        """Run a part in its own process and yield its rows."""
        part = PARTS[name]
        if self.seconds_left < part.min_seconds + LAST:
            yield Row(
                name, "all", f"skipped: {self.seconds_left:.0f} s are left, and it needs {part.min_seconds:.0f} s"
            )
            return
        if name in NEEDS_RUNS and not self._wait_for_runs():
            yield Row(name, "all", "failed: the runs that it needs could not be written")
            return
        if name in ("inference", "training"):
            self._stop_background(COMPILING)
        seconds = (
            self.seconds_left - LAST if part.max_seconds is None else min(part.max_seconds, self.seconds_left - LAST)
        )
        command = [
            sys.executable,
            "-m",
            "benchmarks.accelerator.parts",
            name,
            *self._location(),
            str(seconds),
            str(self._out),
        ]
        process = self._start(command, part.environment or {}, subprocess.PIPE)
        yield from _read_rows(process, name, seconds)

    def end(self) -> None:
        """Stop the background work."""
        self._stop_background(0)

    def _location(self) -> list[str]:
        return [self._size, str(self._folder)]

    def _start(
        self, command: list[str], environment: dict[str, str] | os._Environ, stdout: int | None = None
    ) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            command, cwd=ROOT, env=self._environment | dict(environment), stdout=stdout, start_new_session=True
        )
        if stdout != subprocess.PIPE:
            self._background.append(process)
        return process

    def _compile_peers(self) -> None:
        """Compile all PyTorch programs one after the other, so that they are in its compilation cache."""
        for workload in peers.WORKLOADS if self._wait_for_runs() else ():
            if self._closed:
                return
            self._start(peers.command(workload, self._sizes, self._folder, 1), {}, subprocess.DEVNULL).wait()

    def _wait_for_runs(self) -> bool:
        """Wait until `prepare` has written the runs; return whether they are complete."""
        ready = self._folder / prepare.READY
        while not ready.exists() and self.seconds_left > 0 and self._background[0].poll() is None:
            time.sleep(0.2)
        return ready.exists()

    def _is_background_active(self) -> bool:
        """Return whether background work is running."""
        is_compiling = self._compiling is not None and self._compiling.is_alive()
        return is_compiling or any(process.poll() is None for process in self._background)

    def _stop_background(self, seconds: float) -> None:
        """Wait at most `seconds` for the background work, and then stop it."""
        until = time.monotonic() + min(seconds, max(0.0, self.seconds_left - LAST))
        while time.monotonic() < until and self._is_background_active():
            time.sleep(0.2)
        self._closed = True
        for process in self._background:
            _kill(process)


def _read_rows(process: "subprocess.Popen[bytes]", name: str, seconds: float) -> Iterator[Row]:
    """Yield the rows that a part prints until it ends or its time is over."""
    lines: queue.Queue[bytes | None] = queue.Queue()

    def read() -> None:
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    until = time.monotonic() + seconds
    while True:
        try:
            line = lines.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            _kill(process)
            yield Row(name, "the rest of this part", f"stopped after {seconds:.0f} s")
            return
        if line is None:
            break
        if line.startswith(PREFIX.encode()):
            yield Row(**json.loads(line[len(PREFIX) :]))
    if process.wait():
        yield Row(name, "the rest of this part", f"failed: its process ended with status {process.returncode}")


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process and its descendants."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=9.0, help="time limit (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("accelerator"), help="folder of the results")
    parser.add_argument("--parts", default=",".join(PARTS), help="parts to run (default: %(default)s)")
    parser.add_argument("--sizes", choices=("full", "tiny"), default="full", help="tiny: only check that it runs")
    options = parser.parse_args()
    names = [name for name in PARTS if name in options.parts.split(",")]
    if not names or len(names) != len(options.parts.split(",")):
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
