"""Train both networks at the paper's sizes on real radiographs for some seconds on a device; evaluate them anywhere.

    python -m benchmarks.accelerator.full_training OUT

evaluates on the test split the weights that a device wrote to OUT. The trained weights are safetensors in half
precision, in pieces of at most MAX_BYTES. The classifier is trained in the lungs that the bundled model finds, and
evaluated in those that the trained segmenter finds.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors.numpy

from benchmarks import synthetic
from benchmarks.accelerator import packed
from benchmarks.accelerator import sizes as all_sizes
from benchmarks.accelerator.rows import Row
from benchmarks.accelerator.sizes import Sizes
from benchmarks.accelerator.turns import Contestant
from benchmarks.runner import ROOT
from cxrjax.config import Config, freeze, recipes
from cxrjax.evaluation import evaluate
from cxrjax.runs import bundled_models, run_dir
from cxrjax.runs import weights as exchange
from cxrjax.runs.checkpoints import Checkpoints
from cxrjax.training import trainer

PART = "full_training"
MAX_BYTES = 15 * 2**20  # maximum size of a file of weights
RATE = 1e-3  # learning rate of the classifier, for random weights; penalties are lowered by the same factor
TASKS = ("segmenter", "classifier")
SAVING = 15.0  # seconds reserved for writing the weights

Contestants = Mapping[str, Contestant]  # by task


def start(sizes: Sizes, size: str, folder: Path, out: Path, environment: Mapping[str, str]) -> Contestants:
    """Start both processes, which compile their steps."""
    command = [sys.executable, "-m", "benchmarks.accelerator.contestant", size, str(folder), str(out), "learn"]
    return {task: Contestant([*command, task], environment, ROOT) for task in TASKS}


def measure(contestants: Contestants, seconds: float) -> Iterator[Row]:
    """Train both networks at the same time for some seconds, saving included."""
    until = time.monotonic() + seconds
    ready = {task: contestant for task, contestant in contestants.items() if contestant.wait_until_ready(0)}
    for contestant in ready.values():
        contestant.give_turn(seconds - SAVING)
    for task, contestant in contestants.items():
        left = max(0.0, until - time.monotonic())
        measurement = contestant.read_measurement(left) if task in ready else None
        contestant.stop()
        if measurement is None:
            yield Row(PART, f"{task}: training", contestant.describe_failure())
            continue
        note = "{steps} steps, {epochs:.1f} epochs, constant rate {rate:g}".format(**measurement)
        yield Row(PART, f"{task}: training, both tasks at once", measurement["steps_per_second"], "steps/s", note=note)


def prepare(sizes: Sizes, folder: Path, out: Path, task: str) -> Callable[[float], Iterator[dict[str, Any]]]:
    """Compile a training; return a function that trains for some seconds and writes the weights to OUT."""
    workdir = folder / f"trained {task}"
    config = _segmenter_config(sizes, folder) if task == "segmenter" else _classifier_config(sizes, folder)
    settings = trainer.setup_workdir(config, workdir)
    run_dir.create_or_resume(workdir, settings)
    training = trainer.Trainer(settings, trainer.build_task(settings, workdir))
    state = training.step(training.init_state(0), 0)
    jax.block_until_ready(state)

    def learn(seconds: float) -> Iterator[dict[str, Any]]:
        nonlocal state
        begin = time.monotonic()
        number = 1
        while time.monotonic() < begin + seconds and number < training.total_steps:
            state = training.step(state, number)
            number += 1
        jax.block_until_ready(state)
        rate = (number - 1) / (time.monotonic() - begin)
        network = jax.device_get({"params": state.params, "batch_stats": state.batch_stats})
        with Checkpoints(workdir / "checkpoints") as checkpoints:
            checkpoints.save("best", number, network)
        _write_weights(workdir, out / task)
        epochs = number / training.sampler.steps_per_epoch
        learning_rate = settings.training.learning_rate
        yield {"steps_per_second": rate, "steps": number, "epochs": epochs, "rate": learning_rate}

    return learn


def score(out: Path, sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Evaluate the weights in OUT on the test split; on the validation split if the radiographs are noise."""
    segmenter = folder / "segmenter"
    classifier = folder / "classifier"
    exchange.import_weights(_segmenter_config(sizes, folder), str(join(out, "segmenter", folder)), segmenter)
    config = _classifier_config(sizes, folder)
    config = replace(config, segmenter=replace(config.segmenter, workdir=str(segmenter)))
    exchange.import_weights(config, str(join(out, "classifier", folder)), classifier)
    split = "test" if packed.is_packed(sizes) else "val"
    lungs = evaluate.evaluate_run(segmenter, split)["all"]
    yield _score_row(f"Dice of the lungs, {split}", lungs["structures"]["lungs"]["dice"])
    findings = evaluate.evaluate_run(classifier, split)["all"]
    yield _score_row(f"macro F1, {split}", findings["macro"]["f1"])
    yield _score_row(f"accuracy, {split}", findings["accuracy"])


def _segmenter_config(sizes: Sizes, folder: Path) -> Config:
    config = recipes.load("oh2020:segment")
    config.update_from_flattened_dict(sizes.changes)
    real = packed.is_packed(sizes)
    config.data.dir = str(packed.PACK / "data" / "lungs" if real else folder / "masked" / "noise")
    config.training.schedule = "constant"  # because the number of steps is unknown
    config.data.num_threads = packed.num_reader_threads()
    if not real and not (folder / "masked").exists():
        synthetic.write_data_set(folder / "masked", packed.NUM_NOISE, sizes.image, masked=True)
    return freeze(config)


def _classifier_config(sizes: Sizes, folder: Path) -> Config:
    config = recipes.load("oh2020:classify")
    config.update_from_flattened_dict(sizes.changes)
    stored, classes = packed.locate_findings(folder / "findings", sizes)
    c = config.training
    scale = c.learning_rate / RATE
    c.learning_rate = RATE
    c.l1 *= scale
    config.optimizer.weight_decay *= scale
    config.pretrained, config.classifier.classes = "", classes
    config.data.dir = str(stored)
    config.data.num_threads = packed.num_reader_threads()
    lungs = folder / "bundled lungs"
    if not lungs.exists():
        _write_bundled_lungs(lungs, sizes)
    config.segmenter.workdir = str(lungs)
    return freeze(config)


def _write_bundled_lungs(workdir: Path, sizes: Sizes) -> None:
    """Write the run of the bundled segmenter for radiographs of another size; its own input size stays."""
    source = bundled_models.find_run("lungs")
    config = run_dir.load_config(source)
    config = replace(config, image=replace(config.image, size=sizes.image))
    variables = run_dir.load_networks(source, config)["segmenter"]
    run_dir.create_or_resume(workdir, config)
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        checkpoints.save("best", 0, jax.device_get(variables))


def _score_row(what: str, score: Mapping[str, Any]) -> Row:
    """Return the row of a metric, with its 95% interval in the note."""
    interval = score["interval"]
    note = "{:.3f} to {:.3f}".format(*interval) if interval and None not in interval else ""
    return Row(PART, what, "none" if score["value"] is None else float(score["value"]), note=note)


def _write_weights(workdir: Path, target: Path) -> None:
    """Write the weights in half precision as TARGET_I.safetensors, none larger than MAX_BYTES."""
    exported = workdir / "weights.safetensors"
    exchange.export_weights(workdir, exported)
    pieces: list[dict[str, np.ndarray]] = [{}]
    size = 0
    for name, weights in safetensors.numpy.load_file(exported).items():
        half = weights.astype(np.float16) if weights.dtype == np.float32 else weights
        if pieces[-1] and size + half.nbytes > MAX_BYTES:
            pieces.append({})
            size = 0
        pieces[-1][name] = half
        size += half.nbytes
    for number, piece in enumerate(pieces):
        safetensors.numpy.save_file(piece, f"{target}_{number}.safetensors")


def join(out: Path, task: str, folder: Path) -> Path:
    """Join the pieces of `_write_weights` in float32 to a file that `--mode=import` reads; return its path."""
    pieces = sorted(out.glob(f"{task}_*.safetensors"))
    state = {name: array for piece in pieces for name, array in safetensors.numpy.load_file(piece).items()}
    widened = {name: x.astype(np.float32) if x.dtype == np.float16 else x for name, x in state.items()}
    target = folder / f"{task}.safetensors"
    safetensors.numpy.save_file(widened, target)
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder of the weights")
    parser.add_argument("--sizes", choices=("full", "tiny"), default="full", help="sizes of the training")
    options = parser.parse_args()
    sizes = getattr(all_sizes, options.sizes.upper())
    with tempfile.TemporaryDirectory() as folder:
        for row in score(options.out, sizes, Path(folder)):
            print(" | ".join(row.cells()), flush=True)


if __name__ == "__main__":
    main()
