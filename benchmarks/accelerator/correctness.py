"""Compare an accelerator's results with a CPU's in float32, and the results of two equal trainings."""

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

PART = "correctness"
TARGETS = {"float32": 1e-5, "bfloat16": 1e-2}
MIN_VOTE_MARGIN = 5  # votes of the CPU's first class over its second; with a larger margin, labels must be equal
REPEATED = "repeated.json"  # file: whether two equal runs gave equal results, by task
TIMEOUT = 240.0  # seconds to wait for the CPU's results


def run(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Compare logits, predictions and steps as soon as the CPU's results are ready, and then two equal runs."""
    results: dict[tuple[str, str], cases.Arrays] = {}
    for name, precision in _order():
        with jax.default_matmul_precision("highest" if precision == "float32" else None):
            try:
                results[name, precision] = cases.CASES[name](sizes, folder, precision)
            except Exception as error:  # the other cases are still compared
                yield Row(PART, f"{name}, {precision}", f"failed: {error}"[:300])
        for case in [case for case in results if cases.locate(folder, case[0]).exists()]:
            yield from compare(*case, results.pop(case), folder)
    yield from repeat(sizes, folder)
    for case, arrays in results.items():
        yield from compare(*case, arrays, folder)


def compare(name: str, precision: str, arrays: cases.Arrays, folder: Path) -> Iterator[Row]:
    """Compare the results of a case with the CPU's, which are waited for if necessary."""
    reference = _wait_for(cases.locate(folder, name))
    if reference is None:
        yield Row(PART, f"{name}, {precision}", "no reference: the CPU did not finish in time")
        return
    if name == "predictions":
        yield from compare_predictions(arrays, reference)
        return
    for what, array in arrays.items():
        error = cases.relative_error(array, reference[what])
        rounding = float(reference.get(cases.rounding_key(what, precision), 0.0))
        target = max(TARGETS[precision], rounding)
        source = "what rounding the weights changes" if rounding > TARGETS[precision] else ""
        outcome = "met" if error < target else "missed"
        note = f"target: below {' '.join(filter(None, [f'{target:.1e}', source]))}: {outcome}"
        yield Row(PART, f"{name}, {precision}: {what}", error, "relative error", note=note)


def repeat(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Train twice from the same start and compare the results bit by bit; measure the time of a step."""
    equal = {}
    for task, build_trainer in (("classifier", cases.classifier_training), ("segmenter", cases.segmenter_training)):
        training = build_trainer(sizes, "bfloat16")
        first, _ = _train(training, sizes.steps)
        second, seconds = _train(training, sizes.steps)
        equal[task] = all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
        outcome = "equal bit for bit" if equal[task] else "not equal"
        yield Row(PART, f"{task}: two runs of {sizes.steps} steps", outcome)
        yield Row(PART, f"{task}: time of a step", 1e3 * seconds, "ms", note="with other load")
    (folder / REPEATED).write_text(json.dumps(equal))


def repeat_with_flag(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Run `repeat` with XLA's flag for deterministic kernels if the runs were not equal without it."""
    repeated = folder / REPEATED
    if repeated.exists() and all(json.loads(repeated.read_text()).values()):
        yield Row(PART, "--xla_gpu_deterministic_ops", "not needed")
        return
    for row in repeat(sizes, folder):
        yield Row(PART, f"{row.what}, --xla_gpu_deterministic_ops", row.value, row.unit)


def compare_predictions(predicted: cases.Arrays, reference: cases.Arrays) -> Iterator[Row]:
    """Compare labels with a clear majority of votes, and lung masks."""
    ordered = np.sort(reference["votes"], axis=1)
    is_clear = ordered[:, -1] - ordered[:, -2] > MIN_VOTE_MARGIN
    same = predicted["votes"].argmax(1) == reference["votes"].argmax(1)
    equal = f"{(same & is_clear).sum()} of {is_clear.sum()}"
    yield Row(PART, "labels equal to the CPU's, with a clear majority", equal)
    num_different = np.abs(predicted["votes"] - reference["votes"]).sum(1) / 2
    yield Row(PART, "largest number of votes of a radiograph that differ", float(num_different.max()), "votes")
    dice = [classification.dice(*pair) for pair in zip(predicted["lungs"], reference["lungs"], strict=True)]
    yield Row(PART, "lowest Dice of lungs with the CPU's", float(np.min(dice)), note="target: above 0.99")


def _order() -> list[tuple[str, str]]:
    """Return the cases and their precisions, most important first; `predictions` uses bfloat16 on an accelerator."""
    order = [(name, precision) for precision in TARGETS for name in ("segmenter logits", "classifier logits")]
    order.append(("predictions", "bfloat16"))
    return order + [(f"{task} step", precision) for task in ("classifier", "segmenter") for precision in TARGETS]


def _train(training: trainer.Trainer, count: int) -> tuple[list[np.ndarray], float]:
    """Train `count` steps from the start; return the leaves of the state and the seconds per step after the first."""
    state = training.step(training.init_state(0), 0)
    jax.block_until_ready(state)
    start = time.perf_counter()
    for number in range(1, count):
        state = training.step(state, number)
    jax.block_until_ready(state)
    seconds = (time.perf_counter() - start) / max(1, count - 1)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(jax.device_get(state))], seconds


def _wait_for(path: Path) -> cases.Arrays | None:
    """Wait for a file of the process on the CPU and read it; return None if it is not written in time."""
    finished = path.parent / cases.FINISHED
    until = time.monotonic() + TIMEOUT
    while not path.exists():
        if time.monotonic() > until or finished.exists():
            return None
        time.sleep(0.5)
    with np.load(path) as arrays:
        return dict(arrays)
