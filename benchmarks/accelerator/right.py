"""Right: what an accelerator works out, beside a CPU in float32; and whether it works out the same twice."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from benchmarks.accelerator import cases
from benchmarks.accelerator.rows import Row
from benchmarks.accelerator.sizes import Sizes
from cxrjax.metrics import classification
from cxrjax.training import trainer

PART = "right"
WANTED = {"float32": 1e-5, "bfloat16": 1e-2}
SURE = 5  # votes that the CPU's first class is ahead of its second, from where on the label has to be the same
REPEATED = "repeated.json"  # whether two equal runs came out equal, by task
PATIENCE = 240.0  # seconds that the CPU's results are waited for


def run(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Compare logits, predictions and steps, each as soon as the CPU is done with it; and then two equal runs."""
    found: dict[tuple[str, str], cases.Arrays] = {}
    for name, precision in _order():
        with jax.default_matmul_precision("highest" if precision == "float32" else None):
            try:
                found[name, precision] = cases.CASES[name](sizes, folder, precision)
            except Exception as error:  # the others are to be compared all the same
                yield Row(PART, f"{name}, {precision}", f"failed: {error}"[:300])
        for known in [key for key in found if cases.locate(folder, key[0]).exists()]:
            yield from compare(*known, found.pop(known), folder)
    yield from repeat(sizes, folder)
    for known, arrays in found.items():
        yield from compare(*known, arrays, folder)


def compare(name: str, precision: str, arrays: cases.Arrays, folder: Path) -> Iterator[Row]:
    """Compare what was found in a case with the CPU's, which is waited for."""
    reference = _wait_for(cases.locate(folder, name))
    if reference is None:
        yield Row(PART, f"{name}, {precision}", "no reference: the CPU was not done in time")
        return
    if name == "predictions":
        yield from compare_predictions(arrays, reference)
        return
    for what, array in arrays.items():
        error = cases.relative_error(array, reference[what])
        note = f"wanted < {WANTED[precision]:.0e}: {'met' if error < WANTED[precision] else 'missed'}"
        yield Row(PART, f"{name}, {precision}: {what}", error, "relative error", note=note)


def repeat(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Train twice from the same start, and compare bit by bit; and how long a step takes."""
    equal = {}
    for task, lay_out in (("classifier", cases.classifier_training), ("segmenter", cases.segmenter_training)):
        training = lay_out(sizes, "bfloat16")
        first, _ = _walk(training, sizes.steps)
        second, seconds = _walk(training, sizes.steps)
        equal[task] = all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
        words = "bit for bit" if equal[task] else "not equal"
        yield Row(PART, f"{task}: two runs of {sizes.steps} steps", words)
        yield Row(PART, f"{task}: a step of these", 1e3 * seconds, "ms", note="beside other work")
    (folder / REPEATED).write_text(json.dumps(equal))


def repeat_by_flag(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """`repeat` in a process that has XLA choose deterministic kernels, where it was not equal without."""
    known = folder / REPEATED
    if known.exists() and all(json.loads(known.read_text()).values()):
        yield Row(PART, "flag for equal runs", "none is needed")
        return
    for row in repeat(sizes, folder):
        yield Row(PART, f"{row.what}, --xla_gpu_deterministic_ops", row.value, row.unit)


def compare_predictions(found: cases.Arrays, reference: cases.Arrays) -> Iterator[Row]:
    """Labels where the CPU is sure, and the lungs."""
    ordered = np.sort(reference["votes"], axis=1)
    sure = ordered[:, -1] - ordered[:, -2] > SURE
    same = found["votes"].argmax(1) == reference["votes"].argmax(1)
    yield Row(PART, "labels that are the CPU's, where it is sure", f"{(same & sure).sum()} of {sure.sum()}")
    moved = np.abs(found["votes"] - reference["votes"]).sum(1) / 2
    yield Row(PART, "votes that differ, most of any radiograph", float(moved.max()), "votes")
    dice = [classification.dice(*pair) for pair in zip(found["lungs"], reference["lungs"], strict=True)]
    yield Row(PART, "Dice of lungs with the CPU's, lowest", float(np.min(dice)), note="wanted > 0.99")


def _order() -> list[tuple[str, str]]:
    """The cases and their precisions, most important first; a run's own precision is bfloat16 there."""
    order = [(name, precision) for precision in WANTED for name in ("segmenter logits", "classifier logits")]
    order.append(("predictions", "bfloat16"))
    return order + [(f"{task} step", precision) for precision in WANTED for task in ("classifier", "segmenter")]


def _walk(training: trainer.Trainer, count: int) -> tuple[list[np.ndarray], float]:
    """The leaves of the state after so many steps from the start, and the seconds of one but the first."""
    state = training.step(training.init_state(0), 0)
    jax.block_until_ready(state)
    start = time.perf_counter()
    for number in range(1, count):
        state = training.step(state, number)
    jax.block_until_ready(state)
    seconds = (time.perf_counter() - start) / max(1, count - 1)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(jax.device_get(state))], seconds


def _wait_for(path: Path) -> cases.Arrays | None:
    """What the process on the CPU has written there; None where it has not in time."""
    failed = path.parent / cases.FAILED
    until = time.monotonic() + PATIENCE
    while not path.exists():
        if time.monotonic() > until or failed.exists():
            return None
        time.sleep(0.5)
    with np.load(path) as arrays:
        return dict(arrays)
