"""Computations whose results should be equal on a CPU and on an accelerator.

NumPy draws all weights and images, so that both start from the same values.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np
from jax import Array

from benchmarks import synthetic
from benchmarks.accelerator.sizes import Sizes
from benchmarks.competitors import ours
from cxrjax.inference import predictor
from cxrjax.models import from_config, registry
from cxrjax.models.spec import ModelSpec
from cxrjax.ops import lung_masks
from cxrjax.training import trainer

Arrays = Mapping[str, np.ndarray]
FINISHED = "finished"  # file in the folder of references, written last, also after an error
RADIOGRAPHS = "radiographs.npz"  # images uint8 [n, S, S] to predict, in the folder of a session


def segmenter_logits(sizes: Sizes, folder: Path, precision: str) -> Arrays:
    """Return the log-probabilities of the segmenter for two images of noise."""
    module = registry.create(sizes.segmenter, len(lung_masks.STRUCTURES), dtype=precision)
    return {"logits": _apply(ModelSpec(module, sizes.segmenter_size, 1), 2)}


def classifier_logits(sizes: Sizes, folder: Path, precision: str) -> Arrays:
    """Return the logits of the classifier for eight patches of noise."""
    module = registry.create(sizes.classifier, len(synthetic.CLASSES), dtype=precision)
    return {"logits": _apply(ModelSpec(module, sizes.patch, 3), 8)}


def predictions(sizes: Sizes, folder: Path, precision: str) -> Arrays:
    """Return the votes and lung masks of the radiographs, predicted by the synthetic run, whose precision is `auto`."""
    with np.load(folder / RADIOGRAPHS) as arrays:
        images = arrays["images"]
    model = predictor.load_predictor(folder / "classifier", use_ood_detector=False)
    predicted = list(model.predict(images, min(len(images), model.config.evaluation.batch_size)))
    return {
        "votes": np.stack([prediction.votes for prediction in predicted]),
        "lungs": np.stack([prediction.lung_mask for prediction in predicted]),
    }


def segmenter_step(sizes: Sizes, folder: Path, precision: str, round_to: str = "") -> Arrays:
    """Return the state after one step of the segmenter's training, from weights as `round_weights` returns them."""
    return _step(segmenter_training(sizes, precision), round_to)


def classifier_step(sizes: Sizes, folder: Path, precision: str, round_to: str = "") -> Arrays:
    """Return the state after one step of the classifier's training, from weights as `round_weights` returns them."""
    return _step(classifier_training(sizes, precision), round_to)


STEPS: Mapping[str, Callable[[Sizes, Path, str, str], Arrays]] = {
    "classifier step": classifier_step,
    "segmenter step": segmenter_step,
}


CASES: Mapping[str, Callable[[Sizes, Path, str], Arrays]] = {
    "segmenter logits": segmenter_logits,
    "classifier logits": classifier_logits,
    "predictions": predictions,
    **STEPS,
}
PRECISIONS = ("float32", "bfloat16")


def round_weights(variables: Any, precision: str) -> Any:
    """Change weights by as much as their rounding to a precision may; unchanged for ""."""
    if not precision:
        return variables
    rng = np.random.default_rng(3)

    def change(x: np.ndarray) -> np.ndarray:
        if precision == "bfloat16":
            return x.astype(ml_dtypes.bfloat16).astype(np.float32)
        half_a_unit = np.finfo(np.float32).eps / 2
        return (x * (1 + half_a_unit * rng.choice([-1.0, 1.0], x.shape))).astype(np.float32)

    return jax.tree.map(change, variables)


def segmenter_training(sizes: Sizes, precision: str, batch: int | None = None) -> trainer.Trainer:
    """Return a trainer of the segmenter on noise; without `batch`, at the first batch size of `sizes`."""
    changes = {"segmenter.architecture": sizes.segmenter, "segmenter.size": sizes.segmenter_size}
    changes |= {"precision": precision, "training.batch_size": batch or sizes.segmenter_batches[0]}
    training = ours.build_segmenter_trainer(changes, sizes.segmenter_size)
    return _use_numpy_weights(training, from_config.segmenter(training.config))


def classifier_training(sizes: Sizes, precision: str, batch: int | None = None) -> trainer.Trainer:
    """Return a trainer of the classifier on noise; without `batch`, at the first batch size of `sizes`."""
    changes = {"classifier.architecture": sizes.classifier, "image.size": sizes.image, "patches.size": sizes.patch}
    changes |= {"precision": precision, "training.batch_size": batch or sizes.classifier_batches[0]}
    training = ours.build_classifier_trainer(changes, sizes.image)
    return _use_numpy_weights(training, from_config.classifier(training.config))


def stepper(training: trainer.Trainer) -> Callable[[], Array]:
    """Return a function that dispatches the next step of a training, from its start on, and returns the loss."""
    state = training.init_state(0)
    number = 0

    def step() -> Array:
        nonlocal state, number
        state = training.step(state, number)
        number += 1
        return state.loss_sum

    return step


def relative_error(result: np.ndarray, reference: np.ndarray) -> float:
    """Return the norm of the difference divided by that of the reference; NaN if one of them has a NaN."""
    result = np.asarray(result, np.float64)
    reference = np.asarray(reference, np.float64)
    return float(np.linalg.norm(result - reference) / max(np.linalg.norm(reference), np.finfo(np.float64).tiny))


def _use_numpy_weights(training: trainer.Trainer, network: ModelSpec) -> trainer.Trainer:
    """Make a training start from weights that NumPy draws; return it."""
    training.task = training.task._replace(init=lambda key: synthetic.draw_weights(network))
    return training


def _apply(network: ModelSpec, count: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    x = rng.random((count, network.patch_size, network.patch_size, network.in_channels), np.float32)
    run = jax.jit(partial(network.module.apply, train=False))
    return np.asarray(run(synthetic.draw_weights(network), x))


def _step(training: trainer.Trainer, round_to: str) -> Arrays:
    """Return the state after one step; the first moment of Adam is then a tenth of the gradient."""
    draw = training.task.init
    training.task = training.task._replace(init=lambda key: round_weights(draw(key), round_to))
    state = training.step(training.init_state(0), 0)
    parts = {"params": state.params, "statistics": state.batch_stats, "optimizer": state.opt_state}
    return {name: _flatten(part) for name, part in parts.items()} | {"loss": np.asarray(state.loss_sum)}


def _flatten(tree: Any) -> np.ndarray:
    leaves: list[Array] = [leaf for leaf in jax.tree.leaves(tree) if leaf.dtype == np.float32]
    return np.concatenate([np.asarray(leaf).ravel() for leaf in leaves])


def locate(folder: Path, name: str) -> Path:
    """Return the file of a case's reference."""
    return folder / "reference" / f"{name.replace(' ', '_')}.npz"


def write_references(folder: Path, sizes: Sizes) -> None:
    """Write FOLDER/reference/NAME.npz for each of CASES, in float32, and finally the file FINISHED.

    The files of STEPS also have the relative error that rounding the weights to each of PRECISIONS causes, as
    `rounding_key` names it.
    """
    (folder / "reference").mkdir(exist_ok=True)
    try:
        for name, case in CASES.items():
            temporary = locate(folder, name).with_suffix(".part.npz")
            arrays = dict(case(sizes, folder, "float32"))
            if name in STEPS:
                arrays |= _rounding_errors(STEPS[name], arrays, sizes, folder)
            np.savez(temporary, **arrays)
            temporary.rename(locate(folder, name))
    finally:
        (folder / "reference" / FINISHED).touch()


def rounding_key(what: str, precision: str) -> str:
    """Return the name of the error of an array that rounding the weights to a precision causes."""
    return f"error of {what} by {precision} weights"


def _rounding_errors(
    step: Callable[[Sizes, Path, str, str], Arrays], arrays: Arrays, sizes: Sizes, folder: Path
) -> dict[str, np.ndarray]:
    errors = {}
    for precision in PRECISIONS:
        for what, rounded in step(sizes, folder, "float32", precision).items():
            errors[rounding_key(what, precision)] = np.asarray(relative_error(rounded, arrays[what]))
    return errors


def write_radiographs(folder: Path, images: np.ndarray, sizes: Sizes) -> None:
    """Write the radiographs and the synthetic run that `predictions` needs."""
    np.savez(folder / RADIOGRAPHS, images=images)
    synthetic.write_runs(folder, **sizes.changes)
