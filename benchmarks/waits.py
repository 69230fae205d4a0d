"""Measure the waiting times of a user with a few cores, compared with PyTorch if it has the same wait, in one table.

    python -m benchmarks.waits --torch-python=TORCH/bin/python --rounds=3 --json=waits.json

--only selects waits: "missing" (a path that does not exist), "predict" (one file with 100 votes), "folder" (eight files
after one), "compile" (from the start of a training to the end of its second step), "lungs" and "step" (after
compilation), "demo" (`make demo` in a fresh clone, with pip's own cache), and "tests" (`make test` in this folder). The
last two run once; --quick leaves them out. CPU seconds are of all processes of a command and, unlike the time, hardly
depend on other load on the machine.
"""

import shutil
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from benchmarks import roofline
from benchmarks.results import describe_machine, save, write_table
from benchmarks.runner import OURS, ROOT, Competitor, parse, start_ours
from benchmarks.start import (
    Start,
    interleave_starts,
    median_start,
    predict,
    run_command,
    run_competitor,
    run_peer,
    write_runs,
)
from data_prep.phantom.draw import draw

NUM_FILES = 8  # of the wait "folder"
NETWORKS = {"classifier": "ResNet18 at 224², batch 16", "segmenter": "FC-DenseNet103 at 256², batch 2"}
COMPILE_TARGETS = {"classifier": "20 s", "segmenter": "60 s"}
STEP_TARGETS = {"classifier": "1.4 times PyTorch's speed", "segmenter": "1.7 times PyTorch's speed"}


class Wait(NamedTuple):
    """One waiting time, a row of the table."""

    name: str
    ours: list[Start]
    target: str
    peer: list[Start] = []  # empty without a peer
    ceiling: str = ""  # speed as a fraction of the fastest float32 matrix product's


def measure_demo(options: Namespace) -> Iterator[Wait]:
    """Measure `make demo` in a fresh clone without a cache of compiled programs; pip uses the user's cache."""
    with tempfile.TemporaryDirectory() as place:
        clone = Path(place) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        environment = ["env", f"JAX_COMPILATION_CACHE_DIR={place}/compiled"]
        yield Wait("`make demo`, fresh clone to report", [run_command([*environment, "make", "demo"], clone)], "4 min")


def measure_tests(options: Namespace) -> Iterator[Wait]:
    """Measure `make test` in this folder, after its environment has been created."""
    subprocess.run(["make", ".venv/testing"], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    yield Wait("`make test`", [run_command(["make", "test"])], "8 min")


def measure_compiling(options: Namespace) -> Iterator[Wait]:
    """Measure trainings from the start of the process to the end of their second step."""
    for task, network in NETWORKS.items():
        workload = f"train {task}"
        sizes = _small_sizes(task, options)
        with tempfile.TemporaryDirectory() as cache:
            filled = partial(run_competitor, partial(start_ours, workload, cache=cache, **sizes), "step", 2)
            starts = {
                "none": partial(run_competitor, partial(start_ours, workload, **sizes), "step", 2),
                "filled": filled,
            }
            if options.torch_python:
                settings = {"compiled": False} | sizes
                torch = partial(Competitor, "PyTorch", options.torch_python, "pytorch", workload, settings)
                starts["PyTorch"] = partial(run_competitor, torch, "step", 2)
            filled()
            costs = interleave_starts(starts, options.rounds)
        name = f"training of {network}, to the end of the second step"
        peer = costs.get("PyTorch", [])
        yield Wait(f"{name}, no cache", costs["none"], COMPILE_TARGETS[task], peer)
        yield Wait(f"{name}, filled cache", costs["filled"], "10 s", peer)


def measure_prediction(options: Namespace) -> Iterator[Wait]:
    """Measure the command `--mode=predict` for one file, and its imports alone."""
    with tempfile.TemporaryDirectory() as place:
        settings = write_runs(place, _count_votes(options))
        radiograph = _draw_radiograph(place)
        cached = partial(run_command, predict(place, radiograph, f"{place}/compiled"))
        starts = {
            "imports": partial(run_command, [sys.executable, "-c", "from cxrjax.cli import predict_files"]),
            "none": partial(run_command, predict(place, radiograph, "")),
            "filled": cached,
        }
        if options.torch_python:
            settings |= {"path": str(radiograph), "compiled": False}
            starts["PyTorch"] = partial(run_peer, options.torch_python, settings)
        cached()
        costs = interleave_starts(starts, options.rounds)
    peer = costs.get("PyTorch", [])
    yield Wait("`predict` of one file, no cache", costs["none"], "2 times PyTorch's", peer)
    yield Wait("`predict` of one file, filled cache", costs["filled"], "0.8 times PyTorch's", peer)
    yield Wait("imports of `predict`", costs["imports"], "")


def measure_folder(options: Namespace) -> Iterator[Wait]:
    """Measure the command `--mode=predict` for a folder after it was run for one file, and once more."""
    with tempfile.TemporaryDirectory() as place:
        write_runs(place, _count_votes(options))
        radiograph = _draw_radiograph(place)
        folder = Path(place) / "radiographs"
        folder.mkdir()
        for number in range(NUM_FILES):
            (folder / f"{number}.png").symlink_to(radiograph)
        cache = Path(place) / "compiled"
        first = []
        again = []
        for _ in range(options.rounds):
            shutil.rmtree(cache, ignore_errors=True)
            run_command(predict(place, radiograph, cache))
            first.append(run_command(predict(place, folder, cache)))
            again.append(run_command(predict(place, folder, cache)))
    yield Wait(f"`predict` of {NUM_FILES} files after one", first, "nothing compiled twice")
    yield Wait(f"`predict` of {NUM_FILES} files again", again, "")


def measure_missing(options: Namespace) -> Iterator[Wait]:
    """Measure the time until a missing run is reported."""
    command = [sys.executable, "-m", "cxrjax.main", "--mode=predict", "--workdir=no/such/run"]
    runs = [run_command([*command, "--input=x.png", "--output=x"], status=1) for _ in range(options.rounds)]
    yield Wait("`--workdir=no/such/run`", runs, "0.5 s of CPU")


def measure_lungs(options: Namespace) -> Iterator[Wait]:
    """Measure FC-DenseNet103 for one radiograph, after compilation."""
    yield _measure_stage(
        "segment", "batch of 1", {"batches": [1]}, options, "lungs of one radiograph", "1.6 times PyTorch's speed"
    )


def measure_steps(options: Namespace) -> Iterator[Wait]:
    """Measure training steps, after compilation."""
    for task, network in NETWORKS.items():
        name = f"a step of {network}"
        yield _measure_stage(f"train {task}", "step", _small_sizes(task, options), options, name, STEP_TARGETS[task])


def _measure_stage(
    workload: str, stage: str, settings: Mapping[str, Any], options: Namespace, name: str, target: str
) -> Wait:
    with ExitStack() as stack:
        competitors = [stack.enter_context(start_ours(workload, **settings))]
        if options.torch_python:
            peer = Competitor("PyTorch", options.torch_python, "pytorch", workload, {"compiled": False} | settings)
            competitors.append(stack.enter_context(peer))
        for competitor in competitors:
            for uncompiled_stage in (stage, roofline.PRODUCT):
                competitor.run_once(uncompiled_stage)
        costs: dict[str, list[Start]] = {competitor.name: [] for competitor in competitors}
        products = []
        for _ in range(options.rounds):
            for competitor in competitors:
                costs[competitor.name].append(Start(**competitor.measure(stage)))
                products.append(competitor.run_once(roofline.PRODUCT))
        operations = competitors[-1].metadata.get("operations", {}).get(stage)
    ceiling = ""
    if operations:
        fastest = roofline.PRODUCT_OPERATIONS / min(products)
        ceiling = f"{operations / median_start(costs[OURS]).seconds / fastest:.0%}"
    return Wait(name, costs[OURS], target, costs.get("PyTorch", []), ceiling)


def _small_sizes(task: str, options: Namespace) -> dict[str, int]:
    return {"image_size": 64 if task == "segmenter" else 256} if options.quick else {}


def _count_votes(options: Namespace) -> int:
    return 10 if options.quick else 100


def _draw_radiograph(folder: str) -> Path:
    path = Path(folder) / "phantom.png"
    cv2.imwrite(str(path), draw("normal", np.random.default_rng(0), 1024).pixels)
    return path


MEASUREMENTS: dict[str, Callable[[Namespace], Iterator[Wait]]] = {
    "missing": measure_missing,
    "predict": measure_prediction,
    "folder": measure_folder,
    "compile": measure_compiling,
    "lungs": measure_lungs,
    "step": measure_steps,
    "demo": measure_demo,
    "tests": measure_tests,
}
LONG = ("demo", "tests")


def format_wait(wait: Wait) -> list[str]:
    """Return the cells of a row.

    They are the name, medians of the seconds and CPU seconds of cxrjax and of the peer, the ratio of the seconds, the
    fraction of the ceiling, the peak memory of cxrjax in megabytes, and the target.
    """
    ours = median_start(wait.ours)
    cells = [wait.name, f"{ours.seconds:.2f} ({ours.cpu:.2f})", "", ""]
    if wait.peer:
        peer = median_start(wait.peer)
        cells[2:] = [f"{peer.seconds:.2f} ({peer.cpu:.2f})", f"{ours.seconds / peer.seconds:.2f}"]
    return [*cells, wait.ceiling, f"{ours.peak:.0f}", wait.target]


def main() -> None:
    options = parse(
        __doc__, {"only": {"nargs": "+", "choices": MEASUREMENTS, "help": "waits to measure (default: all)"}}
    )
    waits = []
    for name in options.only or [name for name in MEASUREMENTS if name not in LONG or not options.quick]:
        for wait in MEASUREMENTS[name](options):
            print(" | ".join(format_wait(wait)), file=sys.stderr, flush=True)
            waits.append(wait)
    header = ["wait", "median, s (CPU s)", "PyTorch, s (CPU s)", f"{OURS} / PyTorch", "fraction of the ceiling"]
    header += ["peak memory, MB", "target"]
    print("\nWaiting times\n\n" + write_table(header, [format_wait(wait) for wait in waits]))
    records = {
        wait.name: {side: [cost._asdict() for cost in getattr(wait, side)] for side in ("ours", "peer")}
        for wait in waits
    }
    save(options.json, "Waiting times", {"machine": describe_machine(), "waits": records})


if __name__ == "__main__":
    main()
