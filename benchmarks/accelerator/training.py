"""Fast, training: steps a second and the peak of memory of both tasks."""

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
PEERS = 90.0  # seconds that PyTorch may take for each task
WANTED = {"segmenter": "wanted: half of the memory of torch.compile", "classifier": ""}


def run(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Each task at each batch, in a process of its own, so that the peak of memory is its own."""
    for task, batches in (("segmenter", sizes.segmenter_batches), ("classifier", sizes.classifier_batches)):
        theirs, reason = peers.ask(f"train {task}", sizes, folder, PEERS)
        if reason:
            yield Row(PART, f"{task}, PyTorch", reason)
        for batch in batches:
            name = f"{task}, batch of {batch}"
            asked = [sys.executable, "-m", "benchmarks.accelerator.training", task, str(batch), str(sizes.tiny)]
            done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True)
            if done.returncode:
                yield Row(PART, name, f"failed: {done.stderr.strip()[-300:]}")
                continue
            ours = json.loads(done.stdout.splitlines()[-1])
            peer = theirs.get(name, {})
            seconds = peer.get("seconds")
            yield Row(PART, name, 1 / ours["seconds"], "steps/s", seconds and 1 / seconds)
            if ours["megabytes"] is not None:
                peak = f"{name}: memory of a step"
                yield Row(PART, peak, ours["megabytes"], "MB", peer.get("megabytes"), False, WANTED[task])


def time_steps(sizes: Sizes, task: str, batch: int) -> dict[str, float | None]:
    """Seconds of a step, and the megabytes that it needs."""
    lay_out = cases.segmenter_training if task == "segmenter" else cases.classifier_training
    precision = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    training = lay_out(sizes, precision, batch)
    state, number = training.init_state(0), 0

    def step() -> jax.Array:
        nonlocal state, number
        state = training.step(state, number)
        number += 1
        return state.loss_sum

    seconds = measure(step, sizes.turns)
    (compiled,) = training._compiled_steps.values()  # what it needs is known to nobody else
    return {"seconds": seconds, "megabytes": read_need(compiled)}


def read_need(compiled: Any) -> float | None:
    """Megabytes that a compiled program needs with all that it is given; None where XLA does not say.

    The most that the allocator has held would count what was tried while compiling.
    """
    known = compiled.memory_analysis()
    if known is None:
        return None
    needed = known.argument_size_in_bytes + known.output_size_in_bytes + known.temp_size_in_bytes
    return (needed - known.alias_size_in_bytes) / 2**20


if __name__ == "__main__":
    from benchmarks.accelerator.sizes import FULL, TINY

    print(json.dumps(time_steps(TINY if sys.argv[3] == "True" else FULL, sys.argv[1], int(sys.argv[2]))))
