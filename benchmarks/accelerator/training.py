"""Speed of training: steps per second and memory of a step of both tasks, beside PyTorch.

All programs compile at the same time, while other parts run, and are measured one after the other (see `turns`).
"""

import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.accelerator import peers
from benchmarks.accelerator.rows import Row
from benchmarks.accelerator.sizes import Sizes
from benchmarks.accelerator.turns import Contestant
from benchmarks.runner import ROOT

PART = "training"
TURN = 20.0  # seconds, limit of one measurement
TARGETS = {"segmenter": "target: half of the memory of torch.compile", "classifier": ""}
CXRJAX = "cxrjax"
PYTORCH = "PyTorch"

Contestants = Mapping[tuple[str, int, str], Contestant]  # by task, batch size and CXRJAX or PYTORCH


def start(sizes: Sizes, size: str, folder: Path, out: Path, environment: Mapping[str, str]) -> Contestants:
    """Start all processes, which begin to compile."""
    contestants = {}
    for task, batches in (("segmenter", sizes.segmenter_batches), ("classifier", sizes.classifier_batches)):
        for batch in batches:
            arguments = [size, str(folder), str(out), "train", task, str(batch)]
            ours = [sys.executable, "-m", "benchmarks.accelerator.contestant", *arguments]
            contestants[task, batch, CXRJAX] = Contestant(ours, environment, ROOT)
            if not sizes.tiny:
                command = peers.training_command(task, batch, sizes)
                contestants[task, batch, PYTORCH] = Contestant(command, environment, ROOT)
    return contestants


def measure(contestants: Contestants, seconds: float) -> Iterator[Row]:
    """Measure all that have compiled, one after the other, in at most `seconds`."""
    until = time.monotonic() + seconds
    for task, batch, _ in [key for key in contestants if key[2] == CXRJAX]:
        name = f"{task}, batch of {batch}"
        measured = {}
        for side in (CXRJAX, PYTORCH):
            contestant = contestants.get((task, batch, side))
            if contestant is None:
                continue
            measurement = contestant.measure(min(TURN, until - time.monotonic()))
            if measurement is None:
                yield Row(PART, f"{name}, {side}", contestant.describe_failure())
            measured[side] = measurement or {}
        ours = measured[CXRJAX]
        peer = measured.get(PYTORCH, {})
        if ours:
            peer_seconds = peer.get("seconds")
            yield Row(PART, name, 1 / ours["seconds"], "steps/s", peer_seconds and 1 / peer_seconds)
        if ours.get("megabytes"):
            what = f"{name}: memory of a step"
            yield Row(PART, what, ours["megabytes"], "MB", peer.get("megabytes"), False, TARGETS[task])
