"""A measurement of cxrjax in its own process, which compiles and then waits for its turn (see `turns`).

    python -m benchmarks.accelerator.contestant SIZES FOLDER OUT KIND [ARGUMENT…]

The kinds are `train TASK BATCH`, `predict BATCH`, `learn TASK`, `disk` and `profile`.
"""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax

from benchmarks.accelerator import cases, disk, full_training, inference, profile, turns
from benchmarks.accelerator import sizes as all_sizes
from benchmarks.accelerator.rows import Row
from benchmarks.accelerator.sizes import Sizes
from benchmarks.accelerator.timing import measure, program_memory

Measure = Callable[[float], Iterator[Row | dict[str, Any]]]  # seconds -> measurements


def prepare_training(sizes: Sizes, folder: Path, out: Path, task: str, batch: str) -> Measure:
    """Compile a training step on noise; its measurement has the seconds of a step and the megabytes that it takes."""
    build_trainer = cases.segmenter_training if task == "segmenter" else cases.classifier_training
    training = build_trainer(sizes, "auto", int(batch))
    step = cases.stepper(training)
    jax.block_until_ready(step())
    (compiled,) = training._compiled_steps.values()  # only its program reports its memory
    memory = program_memory(compiled.program)

    def run(seconds: float) -> Iterator[dict[str, Any]]:
        yield {"seconds": measure(step, sizes.turns), "megabytes": memory}

    return run


def prepare_prediction(sizes: Sizes, folder: Path, out: Path, batch: str) -> Measure:
    """Compile the whole prediction of a batch of radiographs."""
    config, variables = inference.load_networks(folder)
    function, arguments = inference.whole(config, variables, int(batch))
    program = function.lower(*arguments).compile()
    jax.block_until_ready(program(*arguments))

    def run(seconds: float) -> Iterator[dict[str, Any]]:
        yield {"seconds": measure(lambda: program(*arguments), sizes.turns)}

    return run


KINDS: dict[str, Callable[..., Measure]] = {
    "train": prepare_training,
    "predict": prepare_prediction,
    "learn": full_training.prepare,
    "disk": disk.prepare,
    "profile": profile.prepare,
}


def main(size: str, folder: str, out: str, kind: str, *arguments: str) -> None:
    run = KINDS[kind](getattr(all_sizes, size.upper()), Path(folder), Path(out), *arguments)
    for measurement in run(turns.wait_for_turn()):
        print(json.dumps(asdict(measurement) if isinstance(measurement, Row) else measurement), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
