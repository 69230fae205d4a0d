"""Measure each wait of a user of a few cores, with PyTorch beside it where PyTorch has it, as one table.

    python -m benchmarks.waits --torch-python=TORCH/bin/python --rounds=3 --json=waits.json

Waits, which --only selects: "missing" (a path that does not exist), "predict" (one file with 100 votes), "folder"
(eight files after one), "compile" (the start of a training to the end of its second step), "lungs" and "step" (once
compiled), "demo" (a bare clone to the report of `make demo`, with pip's own cache), and "tests" (`make test` in this
folder). The last two run once; --quick leaves them out. CPU seconds are of all processes of a command and, unlike the
time, hardly depend on what else the machine does.
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

FILES = 8
NETWORKS = {"classifier": "ResNet18 at 224², batch 16", "segmenter": "FC-DenseNet103 at 256², batch 2"}
COMPILE_AIMS = {"classifier": "20 s", "segmenter": "60 s"}
STEP_AIMS = {"classifier": "1.4 of PyTorch's speed", "segmenter": "1.7 of PyTorch's speed"}


class Wait(NamedTuple):
    """A row of the table."""

    name: str
    ours: list[Start]
    aim: str
    peer: list[Start] = []  # empty where there is none
    ceiling: str = ""  # fraction of the fastest float32 matrix product


def measure_demo(options: Namespace) -> Iterator[Wait]:
    """`make demo` of a clone, whose compiled programs are not cached yet; pip's cache is the user's."""
    with tempfile.TemporaryDirectory() as place:
        clone = Path(place) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        environment = ["env", f"JAX_COMPILATION_CACHE_DIR={place}/compiled"]
        yield Wait("`make demo`, bare clone to report", [run_command([*environment, "make", "demo"], clone)], "4 min")


def measure_tests(options: Namespace) -> Iterator[Wait]:
    """`make test` in this folder, whose environment is made before."""
    subprocess.run(["make", ".venv/testing"], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    yield Wait("`make test`", [run_command(["make", "test"])], "8 min")


def measure_compiling(options: Namespace) -> Iterator[Wait]:
    """The start of a training to the end of its second step."""
    for task, network in NETWORKS.items():
        work = f"train {task}"
        sizes = _small_sizes(task, options)
        with tempfile.TemporaryDirectory() as cache:
            filled = partial(run_competitor, partial(start_ours, work, cache=cache, **sizes), "step", 2)
            starts = {"none": partial(run_competitor, partial(start_ours, work, **sizes), "step", 2), "filled": filled}
            if options.torch_python:
                settings = {"compiled": False} | sizes
                torch = partial(Competitor, "PyTorch", options.torch_python, "pytorch", work, settings)
                starts["PyTorch"] = partial(run_competitor, torch, "step", 2)
            filled()
            costs = interleave_starts(starts, options.rounds)
        name = f"training of {network}, to the end of the second step"
        peer = costs.get("PyTorch", [])
        yield Wait(f"{name}, no cache", costs["none"], COMPILE_AIMS[task], peer)
        yield Wait(f"{name}, filled cache", costs["filled"], "10 s", peer)


def measure_prediction(options: Namespace) -> Iterator[Wait]:
    """The command `--mode=predict` of one file, and its imports alone."""
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
            settings |= {"picture": str(radiograph), "compiled": False}
            starts["PyTorch"] = partial(run_peer, options.torch_python, settings)
        cached()
        costs = interleave_starts(starts, options.rounds)
    peer = costs.get("PyTorch", [])
    yield Wait("`predict` of one file, no cache", costs["none"], "2 times PyTorch's", peer)
    yield Wait("`predict` of one file, filled cache", costs["filled"], "0.8 times PyTorch's", peer)
    yield Wait("imports of `predict`", costs["imports"], "")


def measure_folder(options: Namespace) -> Iterator[Wait]:
    """The command `--mode=predict` of a folder, where one file was predicted before, and again."""
    with tempfile.TemporaryDirectory() as place:
        write_runs(place, _count_votes(options))
        radiograph = _draw_radiograph(place)
        folder = Path(place) / "radiographs"
        folder.mkdir()
        for number in range(FILES):
            (folder / f"{number}.png").symlink_to(radiograph)
        cache = Path(place) / "compiled"
        first = []
        again = []
        for _ in range(options.rounds):
            shutil.rmtree(cache, ignore_errors=True)
            run_command(predict(place, radiograph, cache))
            first.append(run_command(predict(place, folder, cache)))
            again.append(run_command(predict(place, folder, cache)))
    yield Wait(f"`predict` of {FILES} files after one", first, "nothing compiled twice")
    yield Wait(f"`predict` of {FILES} files again", again, "")


def measure_missing(options: Namespace) -> Iterator[Wait]:
    """A run that does not exist."""
    command = [sys.executable, "-m", "cxrjax.main", "--mode=predict", "--workdir=no/such/run"]
    runs = [run_command([*command, "--input=x.png", "--output=x"], status=1) for _ in range(options.rounds)]
    yield Wait("`--workdir=no/such/run`", runs, "0.5 s of CPU")


def measure_lungs(options: Namespace) -> Iterator[Wait]:
    """FC-DenseNet103 of one radiograph, once compiled."""
    yield _measure_stage(
        "segment", "batch of 1", {"batches": [1]}, options, "lungs of one radiograph", "1.6 of PyTorch's speed"
    )


def measure_steps(options: Namespace) -> Iterator[Wait]:
    """A step of a training, once compiled."""
    for task, network in NETWORKS.items():
        name = f"a step of {network}"
        yield _measure_stage(f"train {task}", "step", _small_sizes(task, options), options, name, STEP_AIMS[task])


def _measure_stage(work: str, stage: str, settings: Mapping[str, Any], options: Namespace, name: str, aim: str) -> Wait:
    with ExitStack() as stack:
        competitors = [stack.enter_context(start_ours(work, **settings))]
        if options.torch_python:
            peer = Competitor("PyTorch", options.torch_python, "pytorch", work, {"compiled": False} | settings)
            competitors.append(stack.enter_context(peer))
        for competitor in competitors:
            for compiled_by in (stage, roofline.PRODUCT):
                competitor.run_once(compiled_by)
        costs: dict[str, list[Start]] = {competitor.name: [] for competitor in competitors}
        products = []
        for _ in range(options.rounds):
            for competitor in competitors:
                costs[competitor.name].append(Start(**competitor.measure(stage)))
                products.append(competitor.run_once(roofline.PRODUCT))
        operations = competitors[-1].facts.get("operations", {}).get(stage)
    ceiling = ""
    if operations:
        fastest = roofline.PRODUCT_OPERATIONS / min(products)
        ceiling = f"{operations / median_start(costs[OURS]).seconds / fastest:.0%}"
    return Wait(name, costs[OURS], aim, costs.get("PyTorch", []), ceiling)


def _small_sizes(task: str, options: Namespace) -> dict[str, int]:
    return {"size": 64 if task == "segmenter" else 256} if options.quick else {}


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
    """Return the cells of a row: medians of seconds (and CPU seconds), ours over the peer's, and the peak in MB."""
    ours = median_start(wait.ours)
    cells = [wait.name, f"{ours.seconds:.2f} ({ours.cpu:.2f})", "", ""]
    if wait.peer:
        peer = median_start(wait.peer)
        cells[2:] = [f"{peer.seconds:.2f} ({peer.cpu:.2f})", f"{ours.seconds / peer.seconds:.2f}"]
    return [*cells, wait.ceiling, f"{ours.peak:.0f}", wait.aim]


def main() -> None:
    options = parse(
        __doc__, {"only": {"nargs": "+", "choices": MEASUREMENTS, "help": "waits to measure (default: all)"}}
    )
    waits = []
    for name in options.only or [name for name in MEASUREMENTS if name not in LONG or not options.quick]:
        for wait in MEASUREMENTS[name](options):
            print(" | ".join(format_wait(wait)), file=sys.stderr, flush=True)
            waits.append(wait)
    header = ["wait", "s (CPU s), median", "PyTorch", "ours / PyTorch", "of the ceiling", "peak memory, MB", "wanted"]
    print("\nWaits\n\n" + write_table(header, [format_wait(wait) for wait in waits]))
    records = {
        wait.name: {side: [cost._asdict() for cost in getattr(wait, side)] for side in ("ours", "peer")}
        for wait in waits
    }
    save(options.json, "Waits", {"machine": describe_machine(), "waits": records})


if __name__ == "__main__":
    main()
