"""Measure the time from the start of the process to its first result.

    python -m benchmarks.start --torch-python=TORCH/bin/python --radiograph=FILE.png --json=start.json

One radiograph, 100 votes and a saliency map, networks and weights as in `inference.py`. cxrjax is the command
`--mode=predict`, which also writes the row and the figure: without a compilation cache (`--compilation_cache_dir=`),
with an empty cache, which it fills, and with a filled cache. The peers start, read the same weights, compute the label
and the saliency map, and write nothing.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.competitors.worker import WHOLE
from benchmarks.results import describe_machine, save, write_table
from benchmarks.runner import ROOT, Competitor, parse, peer_forms, start_ours
from cxrjax.runs import run_dir


class Start(NamedTuple):
    """Cost of one start."""

    seconds: float
    peak: float  # megabytes


def run_command(command: Sequence[str]) -> Start:
    """Run a command.

    Raises:
        ChildProcessError: the command failed.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ChildProcessError(f"{' '.join(command)}: ended with {process.returncode}")
    return Start(time.perf_counter() - begin, usage.ru_maxrss / 1024)


def run_peer(python: str, settings: Mapping[str, Any]) -> Start:
    """Run PyTorch from its start to its first prediction."""
    begin = time.perf_counter()
    with Competitor("PyTorch", python, "pytorch", "first vote", settings) as torch:
        torch.run_once(WHOLE)
        return Start(time.perf_counter() - begin, torch.peak)


def interleave_starts(starts: Mapping[str, Callable[[], Start]], rounds: int) -> dict[str, list[Start]]:
    """Run all starts one after the other in every round."""
    costs: dict[str, list[Start]] = {name: [] for name in starts}
    for _ in range(rounds):
        for name, run in starts.items():
            costs[name].append(run())
    return costs


def main() -> None:
    more = {"radiograph": {"required": True, "type": Path, "help": "a frontal chest radiograph, PNG or JPEG"}}
    options = parse(__doc__, more)
    votes = 10 if options.quick else 100
    rounds = 1 if options.quick else options.rounds
    with tempfile.TemporaryDirectory() as place:
        with start_ours("runs", folder=place, changes={"patches.count": votes}):
            config = run_dir.load_config(Path(place) / "classifier")
        picture = str(options.radiograph.resolve())
        cache = Path(place) / "compiled"
        ours = [sys.executable, "-m", "cxrjax.main", f"--workdir={place}/classifier", "--mode=predict"]
        ours += [f"--input={picture}", f"--output={place}/output"]
        cached = [*ours, f"--compilation_cache_dir={cache}"]
        starts = {
            "cxrjax, imports alone": partial(run_command, [sys.executable, "-c", "from cxrjax import predict"]),
            "cxrjax, no cache": partial(run_command, [*ours, "--compilation_cache_dir="]),
            "cxrjax, cache filled": partial(run_command, cached),
        }
        settings = {"folder": place, "picture": picture, "votes": votes, "chunk": 20, "size": config.image.size}
        settings |= {"patch": config.patches.size, "narrow": config.segmenter.size}
        for name, compiled in peer_forms(options).items():
            starts[name] = partial(run_peer, options.torch_python, settings | {"compiled": compiled})
        filling = [run_command(cached)]
        costs = {"cxrjax, empty cache": filling} | interleave_starts(starts, rounds)
        size = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())
    rows = [
        [name, f"{median(start.seconds for start in runs):.1f}", f"{median(start.peak for start in runs):.0f}"]
        for name, runs in costs.items()
    ]
    print(f"\nStart to first result, N = {votes}\n\n" + write_table(["", "s, median", "peak memory, MB"], rows))
    print(f"\nThe filled cache holds {size / 1e6:.1f} MB.")
    records = {name: [start._asdict() for start in runs] for name, runs in costs.items()}
    save(options.json, "Start", {"machine": describe_machine(), "starts": records, "cache_bytes": size})


if __name__ == "__main__":
    main()
