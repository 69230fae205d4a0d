"""Train both networks at the paper's sizes on real radiographs for the time that is left, and evaluate them.

The trained weights are returned as safetensors in half precision in pieces of at most MAX_BYTES. The pieces are joined
and loaded on the CPU in another process, and the predictions compared.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors.numpy
from ml_collections import ConfigDict

from benchmarks import synthetic
from benchmarks.accelerator import packed
from benchmarks.accelerator.rows import Row
from benchmarks.accelerator.sizes import Sizes
from benchmarks.runner import ROOT
from cxrjax.config import freeze, recipes
from cxrjax.evaluation import evaluate
from cxrjax.inference import predictor
from cxrjax.runs import run_dir
from cxrjax.runs import weights as exchange
from cxrjax.runs.checkpoints import Checkpoints
from cxrjax.training import trainer

PART = "full_training"
MAX_BYTES = 15 * 2**20  # maximum size of a file of weights
RATE = 1e-3  # learning rate of the classifier, for random weights; penalties are lowered by the same factor
TIME_FRACTIONS = {"segment": 0.35, "classify": 0.25}  # with compilation; the rest is for the evaluation
NUM_COMPARED = 16  # radiographs that the CPU also predicts


def run(sizes: Sizes, folder: Path, seconds: float, out: Path) -> Iterator[Row]:
    """Train the segmenter, then the classifier with its lung masks; return the weights, and evaluate both."""
    segmenter = folder / "trained segmenter"
    yield from _train(_segmenter_config(sizes, folder), segmenter, TIME_FRACTIONS["segment"] * seconds)
    yield from _write_weights(segmenter, out / "segmenter")
    classifier = folder / "trained classifier"
    yield from _train(_classifier_config(sizes, folder, segmenter), classifier, TIME_FRACTIONS["classify"] * seconds)
    yield from _write_weights(classifier, out / "classifier")
    yield from _score(classifier, sizes)
    yield from _score(segmenter, sizes)
    yield from _compare_with_cpu(classifier, folder, out, sizes)


def _segmenter_config(sizes: Sizes, folder: Path) -> ConfigDict:
    config = recipes.load("oh2020:segment")
    config.update_from_flattened_dict(sizes.changes)
    real = packed.is_packed(sizes)
    config.data.dir = str(packed.PACK / "data" / "lungs" if real else folder / "masked" / "noise")
    config.training.schedule = "constant"  # because the number of steps is unknown
    config.data.num_threads = max(2, min(12, (os.cpu_count() or 2) - 2))
    if not real:
        synthetic.write_data_set(folder / "masked", packed.NUM_NOISE, sizes.image, masked=True)
    return config


def _classifier_config(sizes: Sizes, folder: Path, segmenter: Path) -> ConfigDict:
    config = recipes.load("oh2020:classify")
    config.update_from_flattened_dict(sizes.changes)
    stored, classes = packed.locate_findings(folder, sizes)
    c = config.training
    scale = c.learning_rate / RATE
    c.learning_rate = RATE
    c.l1 *= scale
    config.optimizer.weight_decay *= scale
    config.pretrained, config.classifier.classes = "", classes
    config.data.dir = str(stored)
    config.segmenter.workdir = str(segmenter)
    config.data.num_threads = max(2, min(12, (os.cpu_count() or 2) - 2))
    return config


def _train(config: ConfigDict, workdir: Path, seconds: float) -> Iterator[Row]:
    """Train for some seconds including compilation, and save the last weights as the best ones."""
    until = time.monotonic() + seconds
    settings = trainer.setup_workdir(freeze(config), workdir)
    run_dir.create_or_resume(workdir, settings)
    training = trainer.Trainer(settings, trainer.build_task(settings, workdir))
    state, number = training.step(training.init_state(0), 0), 1
    jax.block_until_ready(state)
    start = time.monotonic()
    while time.monotonic() < until and number < training.total_steps:
        state = training.step(state, number)
        number += 1
    jax.block_until_ready(state)
    rate = (number - 1) / max(time.monotonic() - start, 1e-9)
    network = jax.device_get({"params": state.params, "batch_stats": state.batch_stats})
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        checkpoints.save("best", number, network)
    epochs = number / training.sampler.steps_per_epoch
    note = f"{number} steps, {epochs:.1f} epochs, constant rate {config.training.learning_rate:g}"
    yield Row(PART, f"{config.task}: training", rate, "steps/s", note=note)


def _score(workdir: Path, sizes: Sizes) -> Iterator[Row]:
    """Evaluate a run on the test split; on the validation split if the radiographs are noise."""
    split = "test" if packed.is_packed(sizes) else "val"
    scores = evaluate.evaluate_run(workdir, split)["all"]
    task = run_dir.load_config(workdir).task
    if task == "segment":
        yield _score_row(f"Dice of the lungs, {split}", scores["structures"]["lungs"]["dice"])
    else:
        yield _score_row(f"macro F1, {split}", scores["macro"]["f1"])
        yield _score_row(f"accuracy, {split}", scores["accuracy"])


def _score_row(what: str, score: Mapping[str, Any]) -> Row:
    """Return the row of a metric, with its 95% interval in the note."""
    interval = score["interval"]
    note = "{:.3f} to {:.3f}".format(*interval) if interval and None not in interval else ""
    return Row(PART, what, "none" if score["value"] is None else float(score["value"]), note=note)


def _write_weights(workdir: Path, target: Path) -> Iterator[Row]:
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
    yield Row(PART, f"{target.name}: weights", f"{len(pieces)} files of float16")


def join(pieces: list[Path], target: Path) -> None:
    """Join the pieces of `_write_weights` in float32 to a file that `--mode=import` reads."""
    state = {name: array for piece in pieces for name, array in safetensors.numpy.load_file(piece).items()}
    widened = {name: x.astype(np.float32) if x.dtype == np.float16 else x for name, x in state.items()}
    safetensors.numpy.save_file(widened, target)


def import_both(out: Path, configs: Path, folder: Path) -> Path:
    """Import the returned weights into runs; return the run directory of the classifier."""
    for name in ("segmenter", "classifier"):
        config = run_dir.load_config(configs if name == "classifier" else configs / "segmenter")
        joined = folder / f"{name}.safetensors"
        join(sorted(out.glob(f"{name}_*.safetensors")), joined)
        if name == "classifier":
            config.segmenter.workdir = str(folder / "segmenter")
        exchange.import_weights(freeze(config), str(joined), folder / name)
    return folder / "classifier"


def _compare_with_cpu(classifier: Path, folder: Path, out: Path, sizes: Sizes) -> Iterator[Row]:
    """Compare the votes of the returned weights for a few test radiographs, on the device and on the CPU."""
    back = folder / "back"
    back.mkdir()
    workdir = import_both(out, classifier, back)
    np.savez(back / "images.npz", images=packed.load_images(NUM_COMPARED, sizes))
    votes = predict(workdir, back)
    command = [sys.executable, "-m", "benchmarks.accelerator.full_training", str(workdir), str(back)]
    process = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"JAX_PLATFORMS": "cpu"}, capture_output=True, text=True
    )
    if process.returncode:
        yield Row(PART, "predictions on the CPU", f"failed: {process.stderr.strip()[-300:]}")
        return
    cpu_votes = np.array(json.loads(process.stdout.splitlines()[-1]))
    num_equal = (votes.argmax(1) == cpu_votes.argmax(1)).sum()
    num_different = np.abs(votes - cpu_votes).sum(1) / 2
    note = f"at most {num_different.max():.0f} votes of a radiograph differ"
    yield Row(PART, "labels equal to the CPU's", f"{num_equal} of {len(votes)}", note=note)


def predict(workdir: Path, folder: Path) -> np.ndarray:
    """Return the votes int [n, K] of FOLDER/images.npz."""
    with np.load(folder / "images.npz") as arrays:
        images = arrays["images"]
    model = predictor.load_predictor(workdir, use_ood_detector=False)
    return np.stack(
        [prediction.votes for prediction in model.predict(images, min(len(images), model.config.evaluation.batch_size))]
    )


if __name__ == "__main__":
    print(json.dumps(predict(Path(sys.argv[1]), Path(sys.argv[2])).tolist()))
