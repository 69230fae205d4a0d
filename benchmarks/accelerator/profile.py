"""Profile the most important programs: the kernels that take the most time on the device."""

import glob
import gzip
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
from jax.profiler import ProfileData

from benchmarks.accelerator import cases, inference, peers
from benchmarks.accelerator.rows import Row
from benchmarks.accelerator.sizes import Sizes
from benchmarks.accelerator.timing import compile_all
from benchmarks.competitors.worker import CLASSIFY, SEGMENT

PART = "profile"
NUM_CALLS = 3  # profiled calls of each program
NUM_KERNELS = 12  # kernels of each program that are reported
MAX_NAME = 90  # characters of a kernel's name
DEVICE_PLANE = "/device:"  # begins the names of the planes of GPUs and TPUs


def prepare(sizes: Sizes, folder: Path, out: Path) -> Callable[[float], Iterator[Row]]:
    """Compile a prediction of one radiograph, the stages of a prediction, and a training step of each network.

    Returns:
        A function that profiles them. All kernels are written to OUT/profile.txt, and XLA's programs of the predictions
        to OUT/programs.txt.gz.
    """
    config, variables = inference.load_networks(folder)
    stages = inference.stages(config, variables, peers.stage_batch(sizes))
    programs = {f"whole, batch of {sizes.batches[0]}": inference.whole(config, variables, sizes.batches[0])}
    programs |= {name: stages[name] for name in (SEGMENT, CLASSIFY)}
    calls: dict[str, Callable[[], Any]] = {}
    for name, program in compile_all(programs).items():
        with gzip.open(out / "programs.txt.gz", "at") as file:
            file.write(f"{name}\n\n{program.as_text()}\n\n")
        calls[name] = partial(program, *programs[name][1])
    for task, build in (("segmenter", cases.segmenter_training), ("classifier", cases.classifier_training)):
        training = build(sizes, "auto")
        calls[f"training step of the {task}"] = cases.stepper(training)
    for call in calls.values():
        for _ in range(3):
            jax.block_until_ready(call())

    def run(seconds: float) -> Iterator[Row]:
        for name, call in calls.items():
            yield from _report(name, call, out)

    return run


def _report(name: str, call: Callable[[], Any], out: Path) -> Iterator[Row]:
    """Profile a call; write all kernels to OUT, and yield the rows of the most expensive ones."""
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(NUM_CALLS):
                result = call()
            jax.block_until_ready(result)
        (path,) = glob.glob(f"{folder}/**/*.xplane.pb", recursive=True)
        events = list(_iter_kernels(ProfileData.from_file(path)))
    times: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for event, _, duration in events:
        times[event] += duration
        counts[event] += 1
    total = times.total()
    if not total:
        yield Row(PART, f"{name}: kernels", "none: the profiler reports no device")
        return
    lines = [f"{1e-6 * t / NUM_CALLS:9.4f} ms {counts[k] // NUM_CALLS:5} x {k}" for k, t in times.most_common()]
    with (out / "profile.txt").open("a") as file:
        file.write("\n".join([name, *lines, "", ""]))
    elapsed = max(start + duration for _, start, duration in events) - min(start for _, start, _ in events)
    note = f"of {1e-6 * elapsed / NUM_CALLS:.3g} ms; {counts.total() // NUM_CALLS} kernels"
    yield Row(PART, f"{name}: time in kernels", 1e-6 * total / NUM_CALLS, "ms", note=note)
    for kernel, duration in times.most_common(NUM_KERNELS):
        note = f"{duration / total:.0%}, {counts[kernel] // NUM_CALLS} times"
        yield Row(PART, f"{name}: {kernel[:MAX_NAME]}", 1e-6 * duration / NUM_CALLS, "ms", note=note)


def _iter_kernels(profile: ProfileData) -> Iterator[tuple[str, float, float]]:
    """Yield the name, the start and the duration, in nanoseconds, of each kernel on the first device."""
    for plane in profile.planes:
        if not plane.name.startswith(DEVICE_PLANE):
            continue
        for line in plane.lines:
            if line.name.startswith("Stream"):
                for event in line.events:
                    stats = dict(event.stats)
                    operation = stats.get("hlo_op", "")
                    yield f"{operation} {event.name}".strip(), event.start_ns, event.duration_ns
        return
