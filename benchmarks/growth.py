"""Growth: how do time and memory grow with votes, radiographs, pixels, devices, files, data set and reading threads?

    python -m benchmarks.growth --json=growth.json [--axes=votes,radiographs]

Networks, sizes and weights as in `votes.py`, each point in a process of its own, so that its peak memory is its own:

votes        1 … 1000 votes on one radiograph
radiographs  1 … 256 radiographs with 10 votes each, through the batches of evaluation
pixels       radiographs of 512², 1024² and 2048² with 10 votes
devices      8 radiographs with 10 votes on 1 … 8 simulated devices (of the same cores), and how far from one device's
files        folders of 100 … 10,000 small files (--files 100000 for more) through --mode=predict, once, with small
             networks and one vote, so that what is measured is reading, rows and pictures
training     data sets of 100 … 10,000 small radiographs (--stored 100000 for more), prepared and read as they are
             needed: steps of a training of small networks, in which reading is much
readers      threads that read for a training at the paper's sizes, 1024² and ResNet18; 0: radiographs are held
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import cv2
import numpy as np

from benchmarks import made_up
from benchmarks.record import describe_machine, save, write_table
from benchmarks.side_by_side import Contestant, parse, start_ours

FEW = 10  # votes, where they are not what grows
SMALL = {  # of `files`
    "segmenter.architecture": "fc_densenet29",
    "segmenter.size": 64,
    "classifier.architecture": "resnet6",
    "image.size": 128,
    "patches.size": 32,
    "patches.count": 1,
}
AXES = {
    "votes": (1, 3, 10, 30, 100, 300, 1000),
    "radiographs": (1, 4, 16, 64, 256),
    "pixels": (512, 1024, 2048),
    "devices": (1, 2, 4, 8),
    "files": (100, 1_000, 10_000),
    "training": (100, 1_000, 10_000),
    "readers": (0, 1, 2, 4),
}
QUICK = {
    "votes": (1, 10),
    "radiographs": (1, 4),
    "pixels": (512, 1024),
    "devices": (1, 2),
    "files": (10, 100),
    "training": (20, 100),
    "readers": (0, 2),
}
FEW_STORED = 64  # radiographs, where readers are what grows


class Point(NamedTuple):
    """What one value of what grows has cost."""

    value: int
    seconds: float  # median of the turns after the first; of files, of the first
    first: float  # seconds of the first, in which it is compiled
    peak: float  # megabytes
    preparation: float  # seconds before the first turn; of a training, in which lungs are found
    difference: float = 0.0  # of devices: largest of any result from that on one device


def grow(axis: str, values: Sequence[int], rounds: int, place: Path) -> Iterator[Point]:
    """The points of an axis, measured one after the other."""
    one_device: dict[str, np.ndarray] = {}
    for value in values:
        folder = place / f"{axis}{value}"
        folder.mkdir()
        with start_ours("runs", folder=str(folder), changes=_change(axis, value)):
            pass
        with _start(axis, value, folder) as ours:
            (stage,) = ours.stages
            first = ours.turn(stage)
            seconds = first if axis == "files" else median(ours.turn(stage) for _ in range(rounds))
            difference = 0.0
            if axis == "devices":
                found = {name: array.astype(np.float64) for name, array in ours.results().items()}
                one_device = one_device or found
                difference = max(float(np.abs(found[name] - one_device[name]).max()) for name in found)
            yield Point(value, seconds, first, ours.peak, ours.preparation, difference)


def _change(axis: str, value: int) -> dict[str, Any]:
    if axis in ("files", "training"):
        return SMALL
    if axis == "votes":
        return {"patches.count": value}
    return {"patches.count": FEW} | ({"image.size": value} if axis == "pixels" else {})


def _start(axis: str, value: int, folder: Path) -> Contestant:
    if axis == "files":
        pictures = folder / "pictures"
        _write_pictures(pictures, value)
        return start_ours("predict", folder=str(folder), pictures=str(pictures), output=str(folder / "output"))
    if axis in ("training", "readers"):
        count, side = (value, SMALL["image.size"]) if axis == "training" else (FEW_STORED, 1024)
        stored = made_up.write_data_set(folder / "data", count, side)
        changes = (
            SMALL | {"data.cache_limit_mb": 0.0}
            if axis == "training"
            else {"data.cache_limit_mb": 0.0 if value else 4000.0}
        )
        changes |= {"data.num_threads": max(1, value)} if axis == "readers" else {}
        return start_ours("train stored", folder=str(folder), stored=str(stored), changes=changes)
    count = {"radiographs": value, "devices": 8}.get(axis, 1)
    environment = {"JAX_NUM_CPU_DEVICES": str(value)} if axis == "devices" else None
    return start_ours("examine", environment, folder=str(folder), count=count)


def _write_pictures(folder: Path, count: int) -> None:
    """So many names of one file of 256² pixels, a dark ellipse on noise."""
    folder.mkdir()
    picture = np.random.default_rng(0).integers(128, 256, (256, 256), np.uint8)
    cv2.ellipse(picture, (128, 128), (60, 90), 0, 0, 360, 20, -1)
    first = folder / f"{0:06}.png"
    cv2.imwrite(str(first), picture)
    for number in range(1, count):
        os.symlink(first, folder / f"{number:06}.png")


def main() -> None:
    more = {
        "axes": {"default": ",".join(AXES), "help": "what is to grow, of " + ", ".join(AXES)},
        "files": {"type": int, "nargs": "+", "default": AXES["files"], "help": "how many, on that axis"},
        "stored": {"type": int, "nargs": "+", "default": AXES["training"], "help": "how many in training"},
    }
    given = parse(__doc__, more)
    axes = QUICK if given.quick else AXES | {"files": given.files, "training": given.stored}
    found = {}
    for axis in given.axes.split(","):
        with tempfile.TemporaryDirectory() as place:
            points = list(grow(axis, axes[axis], given.rounds, Path(place)))
        start = points[0]
        rows = [
            [
                f"{p.value:,}",
                f"{p.seconds:.3g}",
                f"{p.seconds / start.seconds:.2f}",
                f"{1e3 * p.seconds / max(1, p.value):.3g}",
                f"{p.preparation:.3g}",
                f"{p.first:.3g}",
                f"{p.peak:.0f}",
                *([f"{p.difference:.1e}"] if axis == "devices" else []),
            ]
            for p in points
        ]
        head = [axis, "s, median", f"over that of {start.value}", f"ms / {axis}", "preparation, s"]
        head += ["first turn, s", "peak memory, MB"]
        print(f"\nGrowth with {axis}\n\n" + write_table(head + ["difference"] * (axis == "devices"), rows), flush=True)
        found[axis] = [p._asdict() for p in points]
        save(given.json, "Growth", {"machine": describe_machine(), "axes": found})


if __name__ == "__main__":
    main()
