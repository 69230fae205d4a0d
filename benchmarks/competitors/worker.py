"""Process of one competitor: it sets up a workload, then runs one of its stages for each request.

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

# Names of stages that several competitors have.
STANDARDIZE = "standardize"
SEGMENT = "segment"
SAMPLE = "sample centers"
CROP = "crop patches"
CLASSIFY = "sample, crop and classify patches"
COUNT = "count votes"
SALIENCY = "saliency map"
AGGREGATE = "count votes and saliency map"
PREDICT_FILE = "file to label and saliency map"
NUM_FILES = 4
PREDICT_FILES = f"{NUM_FILES} files, one per core"


class Workload(NamedTuple):
    """A workload that is set up."""

    stages: Mapping[str, Callable[[], Any]]  # by name; repeatable, each returns when its result is ready
    metadata: Mapping[str, Any] = {}  # for the JSON file: versions, and the number of operations by stage
    results: Callable[[], Mapping[str, Any]] = dict  # arrays that all competitors should agree on


def serve(workloads: Mapping[str, Callable[..., Workload]]) -> None:
    """Answer requests until standard input ends.

    {"prepare": name, "settings": {…}} sets up a workload and returns the names of its stages and its metadata,
    {"turn": stage} runs a stage once, and {"save": path} writes the results to an .npz file. Every answer has the
    seconds of the request, the CPU seconds of this process and its children, and the peak memory of this process in
    megabytes.

    Args:
        workloads: functions that set up a workload from its settings, by name.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    workload = Workload({})
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {}
        start = time.perf_counter()
        start_cpu = read_cpu_seconds()
        if "prepare" in request:
            workload = workloads[request["prepare"]](**request["settings"])
            answer = {"stages": list(workload.stages), "metadata": dict(workload.metadata)}
        elif "turn" in request:
            workload.stages[request["turn"]]()
        else:
            _save_arrays(Path(request["save"]), workload.results())
        answer |= {"seconds": time.perf_counter() - start, "cpu": read_cpu_seconds() - start_cpu, "peak": read_peak()}
        print(json.dumps(answer), file=answers)


def count_cores() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def read_cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its children, running and ended (proc(5))."""
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


def _save_arrays(path: Path, results: Mapping[str, Any]) -> None:
    import numpy as np

    np.savez(path, **{name: np.asarray(array) for name, array in results.items()})
