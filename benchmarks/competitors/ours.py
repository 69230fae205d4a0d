"""Workloads of cxrjax, which use its public API where it has the stage; trainings are built from their parts."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import cxrjax as cx
from benchmarks import roofline, synthetic
from benchmarks.competitors import preparation
from benchmarks.competitors.worker import (
    CLASSIFY,
    COUNT,
    CROP,
    NUM_FILES,
    PREDICT_FILE,
    PREDICT_FILES,
    SALIENCY,
    SAMPLE,
    SEGMENT,
    STANDARDIZE,
    Workload,
    serve,
)
from cxrjax.cli import predict_files
from cxrjax.config import freeze
from cxrjax.data import batch
from cxrjax.inference import inputs, patch_parallel
from cxrjax.inference.lung_segmenter import LungMasks, LungSegmenter
from cxrjax.inference.strategies import local_patches, patch_classifier
from cxrjax.io import saved_files
from cxrjax.models import registry
from cxrjax.runtime import malloc, sharding
from cxrjax.training import classification, segmentation, trainer

STEPS_PER_TURN = 10  # of a training that reads radiographs on demand
MAX_RESULTS = 8  # predictions of `predict_radiographs` to compare; storing all would make memory grow with their number


def write_runs(folder: str, changes: dict[str, Any]) -> Workload:
    """Write the runs that other workloads use (see `synthetic`); there are no stages."""
    synthetic.write_runs(Path(folder), **changes)
    return Workload({})


def predict_file(folder: str, path: str) -> Workload:
    """Predict a file with votes and a saliency map, in total and by stage; and several files at once.

    Args:
        folder: of the runs.
        path: image file.
    """
    model = cx.load(Path(folder) / "classifier")
    params = jax.device_put(model.params)
    spec = model.spec
    settings = spec.inference
    is_dense = settings.patch_mode == "dense"
    sample_centers = jax.jit(cx.ops.sample_patch_centers, static_argnums=2)
    crop = jax.jit(cx.ops.extract_patches, static_argnums=2)
    count_votes = jax.jit(partial(cx.ops.count_votes, rule=settings.aggregation))
    radiograph = cx.read_radiograph(path)
    image = cx.preprocess(radiograph, spec.input)
    (key,) = cx.inference.image_keys(spec.seed, image[None])
    lungs = jax.tree.map(lambda x: x[0], cx.inference.segment_lungs(params, image[None], spec=spec))
    masked = jnp.where(lungs.lung_mask, image, 0)
    centers = sample_centers(key, lungs.lung_mask, settings.num_patches)
    patches = cx.inference.classify_patches(params, image, lungs, key, spec=spec)
    label = count_votes(patches.logits, valid=patches.valid).label

    def results() -> dict[str, Any]:
        arrays = {"image": image, "lungs": lungs.lung_mask}
        if is_dense:
            return arrays
        reference_centers = jnp.array(preparation.reference_centers(len(image)))
        reference_patches = crop(jnp.asarray(image), reference_centers, spec.classifier.patch_size)
        x = inputs.normalize(inputs.to_float(reference_patches), spec.classifier)
        return arrays | {"logits": spec.classifier.module.apply(params["classifier"], x, train=False)}

    stages = {
        "read": lambda: cx.read_radiograph(path),
        STANDARDIZE: lambda: cx.preprocess(radiograph, spec.input),
        SEGMENT: lambda: cx.inference.segment_lungs(params, image[None], spec=spec),
        SAMPLE: lambda: sample_centers(key, lungs.lung_mask, settings.num_patches),
        CROP: lambda: crop(masked, centers, spec.classifier.patch_size),
        CLASSIFY: _classify_patches(spec, params, image, lungs, key),
        COUNT: lambda: count_votes(patches.logits, valid=patches.valid),
        SALIENCY: lambda: cx.inference.saliency_map(params, image, patches, label, spec=spec),
        PREDICT_FILE: lambda: model.predict(path),
        PREDICT_FILES: lambda: model.predict([path] * NUM_FILES),
    }
    if is_dense:
        del stages[SAMPLE], stages[CROP]
    return Workload(_block_until_ready(stages) | _product_stage(), _metadata(), results)


def _classify_patches(
    spec: cx.inference.PipelineSpec, params: Any, image: np.ndarray, lungs: Any, key: jax.Array
) -> Callable[[], Any]:
    """Return a function that samples and classifies the patches of one radiograph on all devices.

    Only `Model.predict` shares patches between devices, so the stage is built here from the same parts.
    """
    classifier = spec.classifier
    settings = spec.inference
    num_devices = patch_parallel.count_devices() if spec.can_share_patches else 1
    if num_devices == 1:
        return lambda: cx.inference.classify_patches(params, image, lungs, key, spec=spec)
    segmented = inputs.SegmentedRadiograph(image, lungs.lung_mask, lungs.confidence, key)
    sample = jax.jit(lambda segmented: local_patches.sample(classifier, segmented, settings).pixels)
    batch_sharding = sharding.BatchSharding(settings.num_patches, num_devices)
    classify = batch_sharding.compile(
        lambda variables, patches: patch_classifier.classify_patches(classifier, variables, patches, settings)
    )
    variables = batch_sharding.replicate_constants(registry.precompute_kernels(params["classifier"]))
    return lambda: classify(variables, batch_sharding.shard(np.asarray(sample(segmented))))


def segment_batches(batches: list[int]) -> Workload:
    """Run FC-DenseNet103 at 256² in batches, the network only."""
    module, variables = cx.models.create("fc_densenet103", num_classes=4, size=256)
    apply = jax.jit(partial(module.apply, train=False))
    images = {n: jnp.asarray(np.random.default_rng(n).random((n, 256, 256, 1), np.float32)) for n in batches}
    stages = {f"batch of {n}": partial(apply, variables, x) for n, x in images.items()}
    return Workload(_block_until_ready(stages) | _product_stage(), _metadata())


def train_classifier(image_size: int = 1024, cache: str = "") -> Workload:
    """Run a step of oh2020:classify: ResNet18 on 16 patches of 224², sampled and augmented in the step.

    Args:
        image_size: side of the radiographs, in pixels.
        cache: folder of compiled programs; "" for none.
    """
    cx.enable_compilation_cache(cache)
    return _training_workload(build_classifier_trainer({}, image_size))


def build_classifier_trainer(changes: dict[str, Any], image_size: int = 1024) -> trainer.Trainer:
    """Return a trainer of configs/oh2020.py:classify on noise.

    Args:
        changes: settings that differ from the recipe, by config key.
        image_size: side of the radiographs, in pixels.
    """
    config = cx.recipes.load("oh2020:classify")
    config.pretrained = ""
    config.segmenter.workdir = "unused"  # the lungs are the whole image
    config.classifier.classes = synthetic.CLASSES
    config.update_from_flattened_dict(changes)
    validation = synthetic.draw_split(len(synthetic.CLASSES), image_size)
    train = synthetic.draw_split(config.training.batch_size, image_size)
    settings = freeze(config)
    segmenter = FullImageLungSegmenter(settings, None)
    return trainer.Trainer(settings, classification.build(settings, train, validation, segmenter))


class FullImageLungSegmenter(LungSegmenter):
    """Labels every pixel as lung. A training segments once before its first step, so its steps take the same time."""

    def segment(self, split: batch.RadiographBatch) -> LungMasks:
        """Return masks of a split that cover the whole images, with a confidence of 1."""
        return LungMasks(np.ones(split.images.shape, bool), np.ones(len(split), np.float32), np.ones(len(split), bool))


def train_from_disk(folder: str, data: str, changes: dict[str, Any]) -> Workload:
    """Run steps of a classifier's training that reads a prepared data set.

    A turn has several steps, since nothing is read ahead between two turns.

    Args:
        folder: of the runs that `write_runs` wrote.
        data: folder of the data set.
        changes: settings that differ from configs/oh2020.py:classify, by config key.
    """
    config = cx.recipes.load("oh2020:classify")
    config.pretrained = ""
    config.segmenter.workdir = f"{folder}/segmenter"
    config.data.dir = data
    config.classifier.classes = synthetic.CLASSES
    config.update_from_flattened_dict(changes)
    workdir = Path(folder) / "trained"
    settings = trainer.setup_workdir(freeze(config), workdir)
    training = trainer.Trainer(settings, trainer.build_task(settings, workdir))
    return Workload({f"{STEPS_PER_TURN} steps": _make_step_runner(training, STEPS_PER_TURN)}, _metadata())


def train_segmenter(image_size: int = 256, cache: str = "") -> Workload:
    """Run a step of oh2020:segment: FC-DenseNet103 on 2 radiographs of 256².

    Args:
        image_size: side of the radiographs, in pixels.
        cache: folder of compiled programs; "" for none.
    """
    cx.enable_compilation_cache(cache)
    return _training_workload(build_segmenter_trainer({}, image_size))


def build_segmenter_trainer(changes: dict[str, Any], image_size: int = 256) -> trainer.Trainer:
    """Return a trainer of configs/oh2020.py:segment on noise.

    Args:
        changes: settings that differ from the recipe, by config key.
        image_size: side of the radiographs, in pixels.
    """
    config = cx.recipes.load("oh2020:segment")
    config.update_from_flattened_dict(changes)
    split = synthetic.draw_split(config.training.batch_size, image_size)
    settings = freeze(config)
    return trainer.Trainer(settings, segmentation.build(settings, split, split))


def predict_radiographs(folder: str, count: int) -> Workload:
    """Predict `count` radiographs of noise in batches of the size that evaluation uses."""
    model = cx.load(Path(folder) / "classifier")
    size = model.spec.input.size
    images = synthetic.draw_split(count, size).images
    batch_size = min(count, model.config.evaluation.batch_size)
    predictions: list[cx.Prediction] = []

    def run() -> None:
        predictions.clear()
        for prediction in model.predict_iter(images, preprocessed=True, batch_size=batch_size):
            if len(predictions) < MAX_RESULTS:
                predictions.append(prediction)

    def results() -> dict[str, Any]:
        no_lungs = np.zeros((size, size), bool)
        return {
            "votes": [list(prediction.votes.values()) for prediction in predictions],
            "probabilities": [np.nan_to_num(list(prediction.probabilities.values())) for prediction in predictions],
            "saliency": [prediction.saliency for prediction in predictions],
            "lung_mask": [
                no_lungs if prediction.lung_mask is None else prediction.lung_mask for prediction in predictions
            ],
        }

    return Workload({"predict": run}, _metadata(), results)


def run_predict_command(folder: str, radiographs: str, output: str) -> Workload:
    """Run the command `predict` on all files of a folder, with a row and a figure for each."""
    sharding.use_one_device_per_core()
    run = partial(predict_files.predict, Path(folder) / "classifier", Path(radiographs), Path(output))
    return Workload({"predict": run}, _metadata())


def predict_folder(run: str, radiographs: str, output: str) -> Workload:
    """Predict all files of a folder by the networks alone, and by the command with different kinds of output files."""
    cx.enable_compilation_cache(Path(output) / "compiled")
    sharding.use_one_device_per_core()
    paths = cx.find_radiographs(radiographs)
    image = cx.preprocess(cx.read_radiograph(paths[0]), cx.load(run).spec.input)

    def apply_networks() -> None:
        model = cx.load(run)
        batch_size = min(model.config.evaluation.batch_size, len(paths))
        for _ in model.predict_iter([image] * len(paths), preprocessed=True, batch_size=batch_size):
            pass

    def predict(name: str, save: list[str]) -> None:
        folder = Path(output) / name
        predict_files.predict(Path(run), Path(radiographs), folder, save=save)
        shutil.rmtree(folder)

    return Workload(
        {
            "networks alone": apply_networks,
            "table": partial(predict, "table", []),
            "figures": partial(predict, "figures", ["figure"]),
            "all files": partial(predict, "all", list(saved_files.KINDS)),
        },
        _metadata(),
    )


def _training_workload(training: trainer.Trainer) -> Workload:
    return Workload({"step": _make_step_runner(training, 1)} | _product_stage(), _metadata())


def _make_step_runner(training: trainer.Trainer, num_steps: int) -> Callable[[], None]:
    """Return a function that runs the next `num_steps` steps of a training at every call."""
    state = training.init_state(0)
    step = 0

    def run() -> None:
        nonlocal state, step
        for _ in range(num_steps):
            state = training.step(state, step)
            step += 1
        jax.block_until_ready(state)

    return run


def _metadata() -> dict[str, Any]:
    return {"jax": jax.__version__, "backend": jax.default_backend(), "devices": jax.device_count()}


def _product_stage() -> dict[str, Callable[[], Any]]:
    matrix = jnp.ones((roofline.SIDE, roofline.SIDE))
    return _block_until_ready({roofline.PRODUCT: partial(jax.jit(jnp.dot), matrix, matrix)})


def _block_until_ready(stages: dict[str, Callable[[], Any]]) -> dict[str, Callable[[], Any]]:
    """Return stages that wait for their results."""
    return {name: (lambda run=run: jax.block_until_ready(run())) for name, run in stages.items()}


if __name__ == "__main__":
    malloc.tune_malloc()
    serve(
        {
            "write runs": write_runs,
            "predict file": predict_file,
            "segment": segment_batches,
            "train classifier": train_classifier,
            "train segmenter": train_segmenter,
            "train from disk": train_from_disk,
            "predict radiographs": predict_radiographs,
            "predict command": run_predict_command,
            "folder": predict_folder,
        }
    )
