"""PyTorch on the same device: runs `benchmarks/competitors/pytorch_gpu.py` in its own process."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.accelerator.sizes import Sizes
from benchmarks.runner import ROOT

# Modes of `pytorch_gpu`. "max-autotune" takes seconds per shape of a convolution, and FC-DenseNet103 has a hundred.
# CUDA graphs are recorded and replayed in both modes.
SEGMENTER = "reduce-overhead"
CLASSIFIER = "max-autotune"
TRAINING = "reduce-overhead"
MODULE = "benchmarks.competitors.pytorch_gpu"

Measurements = dict[str, dict[str, Any]]  # name -> "seconds" and "megabytes"


def settings(workload: str, sizes: Sizes, folder: Path, turns: int) -> dict[str, Any]:
    """Return the settings of a workload; with "waits", it prints READY and waits for a line before it measures."""
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
            "waits": True,
            "image_size": sizes.segmenter_size,
        }
    return {
        "batches": list(sizes.classifier_batches),
        "mode": TRAINING,
        "turns": turns,
        "waits": True,
        "image_size": sizes.image,
        "patch_size": sizes.patch,
    }


def stage_batch(sizes: Sizes) -> int:
    """Return the batch size at which the stages are timed."""
    return sizes.batches[len(sizes.batches) // 2]


def command(workload: str, sizes: Sizes, folder: Path, turns: int) -> list[str]:
    """Return the command that runs a workload."""
    return [sys.executable, "-m", MODULE, workload, json.dumps(settings(workload, sizes, folder, turns))]


def compile_commands(sizes: Sizes, folder: Path) -> Iterator[list[str]]:
    """Yield commands that fill the cache of compiled programs for inference, one for each batch size."""
    for batch in reversed(sizes.batches):
        yield command("inference", replace(sizes, batches=(batch,)), folder, turns=0)


def training_command(task: str, batch: int, sizes: Sizes, folder: Path) -> list[str]:
    """Return the command that compiles a training step, waits for its turn, and measures the step."""
    one_batch = replace(sizes, segmenter_batches=(batch,), classifier_batches=(batch,))
    return command(f"train {task}", one_batch, folder, sizes.turns)


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
