"""PyTorch on the same card: `benchmarks/competitors/pytorch_card.py` in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.accelerator.sizes import Sizes
from benchmarks.runner import ROOT

# Of torch.compile. Each shape of a convolution takes "max-autotune" seconds, and FC-DenseNet103 has a hundred; its
# graphs are recorded and replayed in either mode.
SEGMENTER, CLASSIFIER, TRAINING = "reduce-overhead", "max-autotune", "reduce-overhead"
MODULE = "benchmarks.competitors.pytorch_card"

Found = dict[str, dict[str, Any]]  # by name "seconds" and "megabytes"


def settings(work: str, sizes: Sizes, folder: Path, turns: int) -> dict[str, Any]:
    """What a work is called with."""
    if work == "inference":
        return {
            "folder": str(folder),
            "batches": list(sizes.batches),
            "stages": middle(sizes),
            "turns": turns,
            "votes": sizes.votes,
            "chunk": sizes.chunk,
            "size": sizes.image,
            "patch": sizes.patch,
            "narrow": sizes.segmenter_size,
            "modes": [SEGMENTER, CLASSIFIER],
        }
    if work == "train segmenter":
        return {
            "batches": list(sizes.segmenter_batches),
            "mode": TRAINING,
            "turns": turns,
            "size": sizes.segmenter_size,
        }
    return {
        "batches": list(sizes.classifier_batches),
        "mode": TRAINING,
        "turns": turns,
        "size": sizes.image,
        "patch": sizes.patch,
    }


WORKS = ("inference", "train segmenter", "train classifier")


def middle(sizes: Sizes) -> int:
    """The batch at which the stages are timed."""
    return sizes.batches[len(sizes.batches) // 2]


def command(work: str, sizes: Sizes, folder: Path, turns: int) -> list[str]:
    """The command of a work."""
    return [sys.executable, "-m", MODULE, work, json.dumps(settings(work, sizes, folder, turns))]


def ask(work: str, sizes: Sizes, folder: Path, limit: float) -> tuple[Found, str]:
    """Run a work for so many seconds at most.

    Returns:
        What it measured until then, and why it is not all: "" where it is.
    """
    if sizes.tiny:
        return {}, "left out at tiny sizes"
    process = subprocess.Popen(
        command(work, sizes, folder, sizes.turns), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        output, errors = process.communicate(timeout=limit)
        reason = "" if not process.returncode else f"PyTorch stopped: {errors.strip()[-300:]}"
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        reason = f"PyTorch was cut off after {limit:.0f} s"
    return {one["name"]: one for one in _read(output)}, reason


def _read(output: str) -> Iterator[dict[str, Any]]:
    for line in output.splitlines():
        if line.startswith("{"):
            yield json.loads(line)
