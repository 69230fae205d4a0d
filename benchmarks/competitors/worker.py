"""One competitor in a process of its own: it prepares its work, then does a stage of it each time it is asked.

Questions come as lines of JSON on standard input, answers go to standard output; what libraries print there goes to
standard error. Any Python of at least 3.11 will do: nothing beyond its library is imported here.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

# Stages that all who vote have in common.
WHOLE, SEVERAL = "file to finding and map", 4
MANY = f"the same of {SEVERAL} files"


class Work(NamedTuple):
    """Work laid out, nothing of it done yet."""

    stages: Mapping[str, Callable[[], Any]]  # by name, each repeatable; it returns once its result is there
    facts: Mapping[str, Any] = {}  # numbers and words for the record: versions, operations of a stage
    results: Callable[[], Mapping[str, Any]] = dict  # arrays that other competitors should come to as well


def serve(works: Mapping[str, Callable[..., Work]]) -> None:
    """Answer until standard input ends.

    {"prepare": name, "settings": {…}} is answered with the names of the stages and the facts, {"turn": stage} by doing
    it once, {"keep": path} by writing the results there as .npz. Every answer tells the seconds it took and the peak
    of memory so far, megabytes.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    work = Work({})
    for line in sys.stdin:
        asked, answer = json.loads(line), {}
        start = time.perf_counter()
        if "prepare" in asked:
            work = works[asked["prepare"]](**asked["settings"])
            answer = {"stages": list(work.stages), "facts": dict(work.facts)}
        elif "turn" in asked:
            work.stages[asked["turn"]]()
        else:
            _write(Path(asked["keep"]), work.results())
        print(json.dumps(answer | {"seconds": time.perf_counter() - start, "peak": read_peak()}), file=answers)


def cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def read_peak() -> float:
    """Most memory that this process has held, megabytes (VmHWM of proc(5))."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def _write(path: Path, results: Mapping[str, Any]) -> None:
    import numpy as np

    np.savez(path, **{name: np.asarray(array) for name, array in results.items()})
