"""Start: how long is it from the start of the process to its first result?

    python -m benchmarks.start --torch-python=TORCH/bin/python --radiograph=FILE.png --json=start.json

One radiograph, 100 votes and a map, networks and weights as in `votes.py`. Ours is the command `--mode=predict`, which
also writes the row and the image: with `--compilation_cache_dir=`, keeping no compiled programs; with an empty folder
for them, which it fills; and with that one filled. The peers start, read the same weights and compute the label and the
saliency map, and write nothing.
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

from benchmarks.contestants.worker import WHOLE
from benchmarks.record import describe_machine, save, write_table
from benchmarks.side_by_side import ROOT, Contestant, parse, peer_forms, start_ours
from cxrjax.runs import run_dir


class Start(NamedTuple):
    """What one start has cost."""

    seconds: float
    peak: float  # megabytes


def run_command(command: Sequence[str]) -> Start:
    """A command to its end.

    Raises:
        ChildProcessError: it failed.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ChildProcessError(f"{' '.join(command)}: ended with {process.returncode}")
    return Start(time.perf_counter() - begin, usage.ru_maxrss / 1024)


def run_peer(python: str, settings: Mapping[str, Any]) -> Start:
    """PyTorch from its start to its first vote."""
    begin = time.perf_counter()
    with Contestant("PyTorch", python, "pytorch", "first vote", settings) as torch:
        torch.turn(WHOLE)
        return Start(time.perf_counter() - begin, torch.peak)


def race_starts(starts: Mapping[str, Callable[[], Start]], rounds: int) -> dict[str, list[Start]]:
    """The starts one after the other, round by round."""
    found: dict[str, list[Start]] = {name: [] for name in starts}
    for _ in range(rounds):
        for name, run in starts.items():
            found[name].append(run())
    return found


def main() -> None:
    more = {"radiograph": {"required": True, "type": Path, "help": "a frontal chest radiograph, PNG or JPEG"}}
    given = parse(__doc__, more)
    votes, rounds = (10, 1) if given.quick else (100, given.rounds)
    with tempfile.TemporaryDirectory() as place:
        with start_ours("runs", folder=place, changes={"patches.count": votes}):
            config = run_dir.load_config(Path(place) / "classifier")
        picture, cache = str(given.radiograph.resolve()), Path(place) / "compiled"
        ours = [sys.executable, "-m", "cxrjax.main", f"--workdir={place}/classifier", "--mode=predict"]
        ours += [f"--input={picture}", f"--output={place}/output"]
        kept = [*ours, f"--compilation_cache_dir={cache}"]
        starts = {
            "cxrjax, imports alone": partial(run_command, [sys.executable, "-c", "from cxrjax import predict"]),
            "cxrjax, no cache": partial(run_command, [*ours, "--compilation_cache_dir="]),
            "cxrjax, cache filled": partial(run_command, kept),
        }
        settings = {"folder": place, "picture": picture, "votes": votes, "chunk": 20, "size": config.image.size}
        settings |= {"patch": config.patches.size, "narrow": config.segmenter.size}
        for name, compiled in peer_forms(given).items():
            starts[name] = partial(run_peer, given.torch_python, settings | {"compiled": compiled})
        filling = [run_command(kept)]
        found = {"cxrjax, cache being filled": filling} | race_starts(starts, rounds)
        size = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())
    rows = [
        [name, f"{median(one.seconds for one in each):.1f}", f"{median(one.peak for one in each):.0f}"]
        for name, each in found.items()
    ]
    print(f"\nStart to first result, N = {votes}\n\n" + write_table(["", "s, median", "peak memory, MB"], rows))
    print(f"\nthe filled cache holds {size / 1e6:.1f} MB")
    records = {name: [one._asdict() for one in each] for name, each in found.items()}
    save(given.json, "Start", {"machine": describe_machine(), "starts": records, "cache_bytes": size})


if __name__ == "__main__":
    main()
