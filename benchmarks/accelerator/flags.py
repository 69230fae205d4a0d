"""Effect of XLA's flags for CUDA graphs, its command buffers, on the programs with many small kernels."""

import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.accelerator.rows import Row
from benchmarks.accelerator.sizes import Sizes
from benchmarks.accelerator.turns import Contestant
from benchmarks.runner import ROOT

PART = "flags"
TURN = 20.0  # seconds, limit of one measurement
_DEFAULT = "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,CUDNN,DYNAMIC_SLICE_FUSION"
FLAGS = {
    "default": "",
    "convolutions in graphs": f"--xla_gpu_enable_command_buffer={_DEFAULT},CONVOLUTION",
    "convolutions and loops in graphs": f"--xla_gpu_enable_command_buffer={_DEFAULT},CONVOLUTION,WHILE,CONDITIONAL",
}

Contestants = Mapping[tuple[str, str], Contestant]  # by program and name of FLAGS


def start(sizes: Sizes, size: str, folder: Path, out: Path, environment: Mapping[str, str]) -> Contestants:
    """Start all processes, which begin to compile."""
    programs = {
        f"whole, batch of {sizes.batches[0]}": ["predict", str(sizes.batches[0])],
        f"whole, batch of {sizes.batches[1]}": ["predict", str(sizes.batches[1])],
        "training step of the segmenter": ["train", "segmenter", str(sizes.segmenter_batches[0])],
        "training step of the classifier": ["train", "classifier", str(sizes.classifier_batches[0])],
    }
    contestants = {}
    for flags, value in FLAGS.items():
        for name, arguments in programs.items():
            if flags == "default" and arguments[0] == "train":
                continue  # measured by `training`
            if "loops" in flags and arguments[0] == "train":
                continue  # a step has no loop
            command = [sys.executable, "-m", "benchmarks.accelerator.contestant", size, str(folder), str(out)]
            contestants[name, flags] = Contestant([*command, *arguments], {**environment, "XLA_FLAGS": value}, ROOT)
    return contestants


def measure(contestants: Contestants, seconds: float) -> Iterator[Row]:
    """Measure all that have compiled, one after the other, in at most `seconds`."""
    until = time.monotonic() + seconds
    for (name, flags), contestant in contestants.items():
        measurement = (
            contestant.measure(min(TURN, until - time.monotonic())) if contestant.wait_until_ready(0) else None
        )
        contestant.stop()
        if measurement is None:
            yield Row(PART, f"{name}, {flags}", contestant.describe_failure())
        else:
            yield Row(PART, f"{name}, {flags}", 1e3 * measurement["seconds"], "ms", higher_is_better=False)
