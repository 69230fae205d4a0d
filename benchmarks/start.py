"""Measure the time from the start of the process to its first result.

    python -m benchmarks.start --torch-python=TORCH/bin/python --radiograph=FILE.png --json=start.json

One radiograph, 100 votes and a saliency map, networks and weights as in `inference.py`. cxrjax is the command
`--mode=predict`, which also writes the row and the figure: without a compilation cache (`--compilation_cache_dir=`),
with an empty cache, which it fills, and with a filled cache. PyTorch starts, reads the same weights, computes the label
and the saliency map, and writes nothing.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.competitors.worker import PREDICT_FILE
from benchmarks.results import describe_machine, save, write_table
from benchmarks.runner import ROOT, Competitor, parse, pytorch_variants, start_ours
from cxrjax.runs import run_dir


class Start(NamedTuple):
    """Cost of one run from the start of a process."""

    seconds: float
    peak: float  # megabytes
    cpu: float  # CPU seconds of all its processes


def run_command(command: Sequence[str], folder: Path = ROOT, status: int = 0) -> Start:
    """Run a command in a folder and return its cost.

    Raises:
        ChildProcessError: the command ended with another exit status.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, wait_status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(wait_status)
    if process.returncode != status:
        raise ChildProcessError(f"{' '.join(command)}: ended with {process.returncode}")
    return Start(time.perf_counter() - begin, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)


def run_competitor(start: Callable[[], Competitor], stage: str, turns: int = 1) -> Start:
    """Run a competitor from its start to the end of a stage's first turns."""
    begin = time.perf_counter()
    begin_cpu = _cpu_of_ended_children()
    with start() as competitor:
        for _ in range(turns):
            competitor.run_once(stage)
        seconds = time.perf_counter() - begin
    return Start(seconds, competitor.peak, _cpu_of_ended_children() - begin_cpu)


def run_peer(python: str, settings: Mapping[str, Any]) -> Start:
    """Run PyTorch from its start to its first prediction."""
    return run_competitor(
        partial(Competitor, "PyTorch", python, "pytorch", "predict first file", settings), PREDICT_FILE
    )


def _cpu_of_ended_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def interleave_starts(starts: Mapping[str, Callable[[], Start]], rounds: int) -> dict[str, list[Start]]:
    """Run all starts one after the other in every round."""
    costs: dict[str, list[Start]] = {name: [] for name in starts}
    for _ in range(rounds):
        for name, run in starts.items():
            costs[name].append(run())
    return costs


def median_start(starts: Sequence[Start]) -> Start:
    """Return the median of each cost."""
    return Start(*map(median, zip(*starts, strict=True)))


def write_runs(folder: str, votes: int) -> dict[str, Any]:
    """Write the runs to a folder, and return the settings with which PyTorch makes the same prediction."""
    with start_ours("write runs", folder=folder, changes={"patches.count": votes}):
        config = run_dir.load_config(Path(folder) / "classifier")
    sizes = {"image_size": config.image.size, "patch_size": config.patches.size}
    sizes |= {"segmenter_size": config.segmenter.size, "batch_size": 20}
    return {"folder": folder, "votes": votes} | sizes


def predict(folder: str, source: Path | str, cache: Path | str) -> list[str]:
    """Return the command that applies the runs of a folder to a file or to a folder of files."""
    ours = [sys.executable, "-m", "cxrjax.main", f"--workdir={folder}/classifier", "--mode=predict"]
    return [*ours, f"--input={source}", f"--output={folder}/output", f"--compilation_cache_dir={cache}"]


def main() -> None:
    more = {"radiograph": {"required": True, "type": Path, "help": "frontal chest radiograph, PNG or JPEG"}}
    options = parse(__doc__, more)
    votes = 10 if options.quick else 100
    rounds = 1 if options.quick else options.rounds
    with tempfile.TemporaryDirectory() as place:
        settings = write_runs(place, votes)
        radiograph = options.radiograph.resolve()
        cache = Path(place) / "compiled"
        starts = {
            "cxrjax, imports alone": partial(
                run_command, [sys.executable, "-c", "from cxrjax.cli import predict_files"]
            ),
            "cxrjax, no cache": partial(run_command, predict(place, radiograph, "")),
            "cxrjax, cache filled": partial(run_command, predict(place, radiograph, cache)),
        }
        for name, compiled in pytorch_variants(options).items():
            variant = {"path": str(radiograph), "compiled": compiled}
            starts[name] = partial(run_peer, options.torch_python, settings | variant)
        filling = [run_command(predict(place, radiograph, cache))]
        costs = {"cxrjax, empty cache": filling} | interleave_starts(starts, rounds)
        size = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())
    medians = {name: median_start(runs) for name, runs in costs.items()}
    rows = [[name, f"{cost.seconds:.1f}", f"{cost.cpu:.1f}", f"{cost.peak:.0f}"] for name, cost in medians.items()]
    print(f"\nStart to first result, N = {votes}\n")
    print(write_table(["program", "median, s", "CPU s", "peak memory, MB"], rows))
    print(f"\nThe filled cache has {size / 1e6:.1f} MB.")
    records = {name: [start._asdict() for start in runs] for name, runs in costs.items()}
    save(options.json, "Start", {"machine": describe_machine(), "starts": records, "cache_bytes": size})


if __name__ == "__main__":
    main()
