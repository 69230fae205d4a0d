"""Process of one competitor: it prepares its work, then runs a stage for each request.

Requests are lines of JSON on standard input, answers go to standard output, and the output of libraries is redirected
to standard error. Needs Python 3.11 or newer and no packages.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

# Stages that all voting competitors have.
WHOLE = "file to finding and map"
SEVERAL = 4
MANY = f"the same of {SEVERAL} files"


class Work(NamedTuple):
    """A prepared work."""

    stages: Mapping[str, Callable[[], Any]]  # by name; repeatable, each returns when its result is ready
    facts: Mapping[str, Any] = {}  # values for the record: versions, operations of a stage
    results: Callable[[], Mapping[str, Any]] = dict  # arrays that the competitors should agree on


def serve(works: Mapping[str, Callable[..., Work]]) -> None:
    """Answer requests until standard input ends.

    {"prepare": name, "settings": {…}} returns the names of the stages and the facts, {"turn": stage} runs a stage once,
    {"keep": path} writes the results to an .npz file. Every answer has the seconds of the request, those of CPU time of
    this process and its children, and the peak memory of this process in megabytes.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    work = Work({})
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {}
        start = time.perf_counter()
        start_cpu = read_cpu_seconds()
        if "prepare" in request:
            work = works[request["prepare"]](**request["settings"])
            answer = {"stages": list(work.stages), "facts": dict(work.facts)}
        elif "turn" in request:
            work.stages[request["turn"]]()
        else:
            _write(Path(request["keep"]), work.results())
        answer |= {"seconds": time.perf_counter() - start, "cpu": read_cpu_seconds() - start_cpu, "peak": read_peak()}
        print(json.dumps(answer), file=answers)


def cores() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def read_cpu_seconds() -> float:
    """Return the CPU time of this process and of its children, running and ended (proc(5))."""
    children = [pid for tasks in Path("/proc/self/task").glob("*/children") for pid in tasks.read_text().split()]
    ended = os.times()
    seconds = ended.user + ended.system + ended.children_user + ended.children_system
    for pid in children:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def read_peak() -> float:
    """Return the peak memory of this process in megabytes (VmHWM of proc(5))."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def _write(path: Path, results: Mapping[str, Any]) -> None:
    import numpy as np

    np.savez(path, **{name: np.asarray(array) for name, array in results.items()})
