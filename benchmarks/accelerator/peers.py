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


def stage_batch(sizes: Sizes) -> int:
    """Return the batch size at which the stages are timed."""
    return sizes.batches[len(sizes.batches) // 2]


def inference_command(sizes: Sizes, folder: Path, turns: int) -> list[str]:
    """Return the command that measures inference at all batch sizes; without turns, it only compiles."""
    settings = {
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
    return _command("inference", settings)


def compile_commands(sizes: Sizes, folder: Path) -> Iterator[list[str]]:
    """Yield commands that fill the cache of compiled programs for inference, one for each batch size."""
    for batch in reversed(sizes.batches):
        yield inference_command(replace(sizes, batches=(batch,)), folder, turns=0)


def training_command(task: str, batch: int, sizes: Sizes) -> list[str]:
    """Return the command that compiles a training step, waits for its turn (see `turns`), and measures the step."""
    settings = {"batch": batch, "mode": TRAINING, "turns": sizes.turns}
    if task == "segmenter":
        return _command("train segmenter", settings | {"image_size": sizes.segmenter_size})
    return _command("train classifier", settings | {"image_size": sizes.image, "patch_size": sizes.patch})


def _command(workload: str, settings: dict[str, Any]) -> list[str]:
    return [sys.executable, "-m", MODULE, workload, json.dumps(settings)]


def measure_inference(sizes: Sizes, folder: Path, limit: float) -> tuple[Measurements, str]:
    """Measure inference for at most `limit` seconds.

    Returns:
        The measurements, and the reason why they are incomplete, "" if they are complete.
    """
    if sizes.tiny:
        return {}, "skipped at tiny sizes"
    process = subprocess.Popen(
        inference_command(sizes, folder, sizes.turns),
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
