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
        module: name of a module of this package.
        function: name of a function of the module, (sizes, folder) -> rows; of those that `__main__` runs itself,
            contestants -> rows (see `turns`).
        min_seconds: seconds that must be left to start it.
        max_seconds: seconds after which it is stopped; None for all the time that is left.
        environment: additional environment variables of its process.
    """

    module: str
    function: str
    min_seconds: float
    max_seconds: float | None
    environment: Mapping[str, str] | None = None


DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
PARTS = {
    "machine": Part("machine", "run", 10, 60),
    "correctness": Part("correctness", "run", 60, 190),
    "inference": Part("inference", "run", 60, 260),
    "training": Part("training", "measure", 30, None),
    "flags": Part("flags", "measure", 20, None),
    "profile": Part("profile", "prepare", 20, 60),
    "disk": Part("disk", "prepare", 30, 120),
    "full_training": Part("full_training", "measure", 40, None),
    "determinism": Part("correctness", "repeat_with_flag", 40, 100, {"XLA_FLAGS": DETERMINISTIC}),
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
