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
DEFAULT = ""
CONVOLUTIONS = f"--xla_gpu_enable_command_buffer={_DEFAULT},CONVOLUTION"
LOOPS = f"{CONVOLUTIONS},WHILE,CONDITIONAL"
NAMES = {
    DEFAULT: "default",
    CONVOLUTIONS: "convolutions in graphs",
    LOOPS: "convolutions and loops in graphs",
}

Contestants = Mapping[tuple[str, str], Contestant]  # by program and flags


def start(sizes: Sizes, size: str, folder: Path, out: Path, environment: Mapping[str, str]) -> Contestants:
    """Start all processes, which begin to compile."""
    predictions = {f"whole, batch of {n}": ["predict", str(n)] for n in sizes.batches[:2]}
    trainings = {  # their steps have no loops, and `training` measures them by default
        "training step of the segmenter": ["train", "segmenter", str(sizes.segmenter_batches[0])],
        "training step of the classifier": ["train", "classifier", str(sizes.classifier_batches[0])],
    }
    command = [sys.executable, "-m", "benchmarks.accelerator.contestant", size, str(folder), str(out)]
    programs = {DEFAULT: predictions, CONVOLUTIONS: predictions | trainings, LOOPS: predictions}
    return {
        (name, flags): Contestant([*command, *arguments], {**environment, "XLA_FLAGS": flags}, ROOT)
        for flags, arguments_by_name in programs.items()
        for name, arguments in arguments_by_name.items()
    }


def measure(contestants: Contestants, seconds: float) -> Iterator[Row]:
    """Measure all that have compiled, one after the other, in at most `seconds`."""
    until = time.monotonic() + seconds
    for (name, flags), contestant in contestants.items():
        measurement = contestant.measure(min(TURN, until - time.monotonic()))
        if measurement is None:
            yield Row(PART, f"{name}, {NAMES[flags]}", contestant.describe_failure())
        else:
            yield Row(PART, f"{name}, {NAMES[flags]}", 1e3 * measurement["seconds"], "ms", higher_is_better=False)
