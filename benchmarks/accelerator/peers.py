"""PyTorch on the same device: runs `benchmarks/competitors/pytorch_gpu.py` in its own process."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.accelerator.sizes import Sizes
from benchmarks.runner import ROOT

# Modes of torch.compile. "max-autotune" takes seconds for each shape of a convolution, and FC-DenseNet103 has a
# hundred; CUDA graphs are recorded and replayed in both modes.
SEGMENTER = "reduce-overhead"
CLASSIFIER = "max-autotune"
TRAINING = "reduce-overhead"
MODULE = "benchmarks.competitors.pytorch_gpu"

Measurements = dict[str, dict[str, Any]]  # name -> "seconds" and "megabytes"


def settings(workload: str, sizes: Sizes, folder: Path, turns: int) -> dict[str, Any]:
    """Return the settings of a workload."""
    if workload == "inference":
        return {
            "folder": str(folder),
            "batches": list(sizes.batches),
            "stage_batch": stage_batch(sizes),
            "turns": turns,
            "votes": sizes.votes,
            "patches_per_radiograph": sizes.chunk,
            "image_size": sizes.image,
            "patch_size": sizes.patch,
            "segmenter_size": sizes.segmenter_size,
            "modes": [SEGMENTER, CLASSIFIER],
        }
    if workload == "train segmenter":
        return {
            "batches": list(sizes.segmenter_batches),
            "mode": TRAINING,
            "turns": turns,
            "image_size": sizes.segmenter_size,
        }
    return {
        "batches": list(sizes.classifier_batches),
        "mode": TRAINING,
        "turns": turns,
        "image_size": sizes.image,
        "patch_size": sizes.patch,
    }


WORKLOADS = ("inference", "train segmenter", "train classifier")


def stage_batch(sizes: Sizes) -> int:
    """Return the batch size at which the stages are timed."""
    return sizes.batches[len(sizes.batches) // 2]


def command(workload: str, sizes: Sizes, folder: Path, turns: int) -> list[str]:
    """Return the command that runs a workload."""
    return [sys.executable, "-m", MODULE, workload, json.dumps(settings(workload, sizes, folder, turns))]


def measure(workload: str, sizes: Sizes, folder: Path, limit: float) -> tuple[Measurements, str]:
    """Run a workload for at most `limit` seconds.

    Returns:
        Its measurements, and the reason why they are incomplete, "" if they are complete.
    """
    if sizes.tiny:
        return {}, "skipped at tiny sizes"
    process = subprocess.Popen(
        command(workload, sizes, folder, sizes.turns),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        output, errors = process.communicate(timeout=limit)
        reason = "" if not process.returncode else f"PyTorch stopped: {errors.strip()[-300:]}"
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        reason = f"PyTorch was stopped after {limit:.0f} s"
    return {measurement["name"]: measurement for measurement in _parse(output)}, reason


def _parse(output: str) -> Iterator[dict[str, Any]]:
    for line in output.splitlines():
        if line.startswith("{"):
            yield json.loads(line)
