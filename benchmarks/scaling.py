"""Measure how time and memory scale with votes, radiographs, pixels, devices, files, data set size and reader threads.

    python -m benchmarks.scaling --json=scaling.json [--axes=votes,radiographs]

Networks, sizes and weights as in `inference.py`; each point is measured in its own process, so that its peak memory is
independent:

votes        1 … 1000 votes for one radiograph
radiographs  1 … 256 radiographs with 10 votes each, in batches of the size that evaluation uses
pixels       radiographs of 512², 1024² and 2048² with 10 votes
devices      8 radiographs with 10 votes on 1 … 8 simulated devices (of the same cores), and the difference from
             one device
files        folders of 100 … 10,000 small files (--files 100000 for more) with --mode=predict, measured once, with
             small networks and one vote, so that reading, rows and figures dominate
training     data sets of 100 … 10,000 small radiographs (--stored 100000 for more), read on demand: training steps of
             small networks, whose time is mostly reading
readers      reader threads of a training at the paper's sizes, 1024² and ResNet18; 0: radiographs stay in memory
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import cv2
import numpy as np

from benchmarks import synthetic
from benchmarks.results import describe_machine, save, write_table
from benchmarks.runner import Competitor, parse, start_ours

DEFAULT_VOTES = 10  # except on the axis "votes"
SMALL_NETWORKS = {  # config changes on the axes "files" and "training"
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
NUM_READ = 64  # radiographs on the axis "readers"


class Point(NamedTuple):
    """Cost of one value on an axis."""

    value: int
    seconds: float  # median of the turns after the first; on the axis "files", of the first turn
    first: float  # seconds of the first turn, which includes compilation
    peak: float  # megabytes
    preparation: float  # seconds before the first turn; on the axis "training" with the segmentation of lungs
    difference: float = 0.0  # on the axis "devices": largest difference of a result from one device


def measure_axis(axis: str, values: Sequence[int], rounds: int, place: Path) -> Iterator[Point]:
    """Yield the measured points of an axis."""
    one_device: dict[str, np.ndarray] = {}
    for value in values:
        folder = place / f"{axis}{value}"
        folder.mkdir()
        with start_ours("write runs", folder=str(folder), changes=_config_changes(axis, value)):
            pass
        with _start(axis, value, folder) as ours:
            (stage,) = ours.stages
            first = ours.run_once(stage)
            seconds = first if axis == "files" else median(ours.run_once(stage) for _ in range(rounds))
            difference = 0.0
            if axis == "devices":
                results = {name: array.astype(np.float64) for name, array in ours.results().items()}
                one_device = one_device or results
                difference = max(float(np.abs(results[name] - one_device[name]).max()) for name in results)
            yield Point(value, seconds, first, ours.peak, ours.preparation, difference)


def _config_changes(axis: str, value: int) -> dict[str, Any]:
    if axis in ("files", "training"):
        return SMALL_NETWORKS
    if axis == "votes":
        return {"patches.count": value}
    return {"patches.count": DEFAULT_VOTES} | ({"image.size": value} if axis == "pixels" else {})


def _start(axis: str, value: int, folder: Path) -> Competitor:
    if axis == "files":
        radiographs = folder / "radiographs"
        _write_images(radiographs, value)
        output = str(folder / "output")
        return start_ours("predict command", folder=str(folder), radiographs=str(radiographs), output=output)
    if axis in ("training", "readers"):
        count, side = (value, SMALL_NETWORKS["image.size"]) if axis == "training" else (NUM_READ, 1024)
        data = synthetic.write_data_set(folder / "data", count, side)
        changes = (
            SMALL_NETWORKS | {"data.cache_limit_mb": 0.0}
            if axis == "training"
            else {"data.cache_limit_mb": 0.0 if value else 4000.0}
        )
        changes |= {"data.num_threads": max(1, value)} if axis == "readers" else {}
        return start_ours("train from disk", folder=str(folder), data=str(data), changes=changes)
    count = {"radiographs": value, "devices": 8}.get(axis, 1)
    environment = {"JAX_NUM_CPU_DEVICES": str(value)} if axis == "devices" else None
    return start_ours("predict radiographs", environment, folder=str(folder), count=count)


def _write_images(folder: Path, count: int) -> None:
    """Write one file of 256² pixels, a dark ellipse on noise, and links to it."""
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(128, 256, (256, 256), np.uint8)
    cv2.ellipse(pixels, (128, 128), (60, 90), 0, 0, 360, 20, -1)
    first = folder / f"{0:06}.png"
    cv2.imwrite(str(first), pixels)
    for number in range(1, count):
        os.symlink(first, folder / f"{number:06}.png")


def main() -> None:
    more = {
        "axes": {"default": ",".join(AXES), "help": "axes to measure (default: %(default)s)"},
        "files": {"type": int, "nargs": "+", "default": AXES["files"], "help": "numbers of files on the axis files"},
        "stored": {
            "type": int,
            "nargs": "+",
            "default": AXES["training"],
            "help": "numbers of radiographs on the axis training",
        },
    }
    options = parse(__doc__, more)
    axes = QUICK if options.quick else AXES | {"files": options.files, "training": options.stored}
    results = {}
    for axis in options.axes.split(","):
        with tempfile.TemporaryDirectory() as place:
            points = list(measure_axis(axis, axes[axis], options.rounds, Path(place)))
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
        header = [axis, "median, s", f"relative to {start.value}", f"ms / {axis}", "preparation, s"]
        header += ["first turn, s", "peak memory, MB"]
        header += ["difference"] if axis == "devices" else []
        print(f"\nScaling with {axis}\n\n" + write_table(header, rows), flush=True)
        results[axis] = [p._asdict() for p in points]
        save(options.json, "Scaling", {"machine": describe_machine(), "axes": results})


if __name__ == "__main__":
    main()
