"""The parts of the benchmark, most important first, and the process that runs one of them.

    python -m benchmarks.accelerator.parts NAME SIZES FOLDER SECONDS OUT

prints a line `ROW {…}` for each row. Every part has its own process, so that a crash does not stop the other parts,
and each part starts with free device memory.
"""

import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

from benchmarks.accelerator import sizes as all_sizes
from benchmarks.accelerator.rows import Row
from benchmarks.accelerator.sizes import Sizes

PREFIX = "ROW "


@dataclass(frozen=True)
class Part:
    """One part of the benchmark.

    Attributes:
        min_seconds: seconds that must be left to start it.
        max_seconds: seconds after which it is stopped; None for all the time that is left.
        module: name of a module of this package; "" for a part that `__main__` runs by contestants (see `turns`).
        function: name of a function of the module, (sizes, folder) -> rows.
        environment: additional environment variables of its process.
    """

    min_seconds: float
    max_seconds: float | None
    module: str = ""
    function: str = "run"
    environment: Mapping[str, str] | None = None


DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
PARTS = {
    "machine": Part(10, 60, "machine"),
    "correctness": Part(60, 230, "correctness"),
    "inference": Part(60, 260, "inference"),
    "training": Part(30, None),
    "flags": Part(20, None),
    "profile": Part(20, 60),
    "disk": Part(30, 120),
    "full_training": Part(40, None),
    "determinism": Part(40, 100, "correctness", "repeat_with_flag", {"XLA_FLAGS": DETERMINISTIC}),
}


def run(name: str, sizes: Sizes, folder: Path, seconds: float, out: Path) -> Iterator[Row]:
    """Yield the rows of a part; an exception becomes the last row."""
    part = PARTS[name]
    module = import_module(f"benchmarks.accelerator.{part.module}")
    function: Callable[..., Iterator[Row]] = getattr(module, part.function)
    try:
        yield from function(sizes, folder)
    except Exception as error:  # the other parts still run
        traceback.print_exc()
        yield Row(name, "the rest of this part", f"failed: {type(error).__name__}: {error}"[:300])


if __name__ == "__main__":
    chosen, size, *rest = sys.argv[1:]
    for row in run(chosen, getattr(all_sizes, size.upper()), Path(rest[0]), float(rest[1]), Path(rest[2])):
        print(PREFIX + json.dumps(asdict(row)), flush=True)
