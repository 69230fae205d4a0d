"""Speed of training: steps per second and peak memory of both tasks."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from benchmarks.accelerator import cases, peers
from benchmarks.accelerator.rows import Row
from benchmarks.accelerator.sizes import Sizes
from benchmarks.accelerator.timing import measure
from benchmarks.runner import ROOT

PART = "training"
PEERS = 90.0  # seconds, limit for PyTorch per task
TARGETS = {"segmenter": "target: half of the memory of torch.compile", "classifier": ""}


def run(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Measure each task at each batch size in its own process, so that peak memory is independent."""
    for task, batches in (("segmenter", sizes.segmenter_batches), ("classifier", sizes.classifier_batches)):
        peer_measurements, reason = peers.measure(f"train {task}", sizes, folder, PEERS)
        if reason:
            yield Row(PART, f"{task}, PyTorch", reason)
        for batch in batches:
            name = f"{task}, batch of {batch}"
            command = [sys.executable, "-m", "benchmarks.accelerator.training", task, str(batch), str(sizes.tiny)]
            process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            if process.returncode:
                yield Row(PART, name, f"failed: {process.stderr.strip()[-300:]}")
                continue
            ours = json.loads(process.stdout.splitlines()[-1])
            peer = peer_measurements.get(name, {})
            seconds = peer.get("seconds")
            yield Row(PART, name, 1 / ours["seconds"], "steps/s", seconds and 1 / seconds)
            if ours["megabytes"] is not None:
                peak = f"{name}: memory of a step"
                yield Row(PART, peak, ours["megabytes"], "MB", peer.get("megabytes"), False, TARGETS[task])


def time_steps(sizes: Sizes, task: str, batch: int) -> dict[str, float | None]:
    """Return the seconds of a step and its memory in megabytes."""
    build_trainer = cases.segmenter_training if task == "segmenter" else cases.classifier_training
    precision = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    training = build_trainer(sizes, precision, batch)
    state = training.init_state(0)
    number = 0

    def step() -> jax.Array:
        nonlocal state, number
        state = training.step(state, number)
        number += 1
        return state.loss_sum

    seconds = measure(step, sizes.turns)
    (compiled,) = training._compiled_steps.values()  # only its program reports its memory
    return {"seconds": seconds, "megabytes": program_memory(compiled.program)}


def program_memory(compiled: Any) -> float | None:
    """Return the megabytes of a compiled program including its arguments; None if XLA does not report them.

    The allocator's peak would include the memory of autotuning during compilation.
    """
    analysis = compiled.memory_analysis()
    if analysis is None:
        return None
    size = analysis.argument_size_in_bytes + analysis.output_size_in_bytes + analysis.temp_size_in_bytes
    return (size - analysis.alias_size_in_bytes) / 2**20


if __name__ == "__main__":
    from benchmarks.accelerator.sizes import FULL, TINY

    print(json.dumps(time_steps(TINY if sys.argv[3] == "True" else FULL, sys.argv[1], int(sys.argv[2]))))
