"""Work of cxrjax in the benchmarks, by the public API where it has the stage; trainings are built from their parts."""

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
from benchmarks.competitors.worker import MANY, SEVERAL, WHOLE, Work, serve
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

STEPS = 10  # of a turn, where radiographs are read as they are needed
KEPT = 8  # results of `examine_many` that others are compared with; all of them would be what grows


def write_runs(folder: str, changes: dict[str, Any]) -> Work:
    """No race: the runs that the others need, see `synthetic`."""
    synthetic.write_runs(Path(folder), **changes)
    return Work({})


def vote(folder: str, picture: str) -> Work:
    """From a file to its finding with votes and map, whole and each stage alone; and several files at once."""
    model = cx.load(Path(folder) / "classifier")
    params = jax.device_put(model.params)
    spec = model.spec
    settings = spec.inference
    dense = settings.patch_mode == "dense"
    draw = jax.jit(cx.ops.sample_patch_centers, static_argnums=2)
    crop = jax.jit(cx.ops.extract_patches, static_argnums=2)
    count = jax.jit(partial(cx.ops.count_votes, rule=settings.aggregation))

    def find() -> cx.Prediction:
        return model.predict(picture)

    def find_many() -> list[cx.Prediction]:
        return model.predict([picture] * SEVERAL)

    def results() -> dict[str, Any]:
        seen = {"image": image, "lungs": lungs.lung_mask}
        if dense:
            return seen
        few = crop(jnp.asarray(image), jnp.array(preparation.spread(len(image))), spec.classifier.patch_size)
        x = inputs.normalize(inputs.to_float(few), spec.classifier)
        return seen | {"logits": spec.classifier.module.apply(params["classifier"], x, train=False)}

    read = cx.read_radiograph(picture)
    image = cx.preprocess(read, spec.input)
    (key,) = cx.inference.image_keys(spec.seed, image[None])
    lungs = jax.tree.map(lambda x: x[0], cx.inference.segment_lungs(params, image[None], spec=spec))
    masked = jnp.where(lungs.lung_mask, image, 0)
    centers = draw(key, lungs.lung_mask, settings.num_patches)
    patches = cx.inference.classify_patches(params, image, lungs, key, spec=spec)
    label = count(patches.logits, valid=patches.valid).label
    stages = {
        "read": lambda: cx.read_radiograph(picture),
        "standardise": lambda: cx.preprocess(read, spec.input),
        "segment": lambda: cx.inference.segment_lungs(params, image[None], spec=spec),
        "draw": lambda: draw(key, lungs.lung_mask, settings.num_patches),
        "crop": lambda: crop(masked, centers, spec.classifier.patch_size),
        "draw, crop, classify": _classify_patches(spec, params, image, lungs, key),
        "vote": lambda: count(patches.logits, valid=patches.valid),
        "map": lambda: cx.inference.saliency_map(params, image, patches, label, spec=spec),
        WHOLE: find,
        MANY: find_many,
    }
    if dense:
        del stages["draw"], stages["crop"]
    return Work(_wait(stages) | _product(), _facts(), results)


def _classify_patches(
    spec: cx.inference.PipelineSpec, params: Any, image: np.ndarray, lungs: Any, key: jax.Array
) -> Callable[[], Any]:
    """Return the sampling and classification of the patches of one radiograph, which the devices share as in a model.

    They share them inside `Model.predict` alone, so that the stage is put together from its parts here.
    """
    classifier = spec.classifier
    settings = spec.inference
    most = patch_parallel.count_devices(params["classifier"]) if spec.can_share_patches else 1
    if most == 1:
        return lambda: cx.inference.classify_patches(params, image, lungs, key, spec=spec)
    segmented = inputs.SegmentedRadiograph(image, lungs.lung_mask, lungs.confidence, key)
    sample = jax.jit(lambda segmented: local_patches.sample(classifier, segmented, settings).pixels)
    shares = sharding.BatchSharding(settings.num_patches, most)
    classify = shares.compile(lambda held, crops: patch_classifier.classify_patches(classifier, held, crops, settings))
    held = shares.replicate(jax.jit(registry.precompute_kernels)(params["classifier"]))
    return lambda: classify(held, shares.shard(np.asarray(sample(segmented))))


def segment_batches(batches: list[int]) -> Work:
    """FC-DenseNet103 at 256², the network alone, in batches."""
    module, variables = cx.models.create("fc_densenet103", num_classes=4, size=256)
    run = jax.jit(partial(module.apply, train=False))
    pictures = {n: jnp.asarray(np.random.default_rng(n).random((n, 256, 256, 1), np.float32)) for n in batches}
    stages = {f"batch of {n}": partial(run, variables, x) for n, x in pictures.items()}
    return Work(_wait(stages) | _product(), _facts())


def train_classifier(size: int = 1024, cache: str = "") -> Work:
    """A step on 16 crops of 224², drawn and augmented in it: ResNet18; its program comes from a cache, if any."""
    cx.enable_compilation_cache(cache)
    return Work(_steps(lay_out_classifier({}, size)), _facts())


def lay_out_classifier(changes: dict[str, Any], size: int = 1024) -> trainer.Trainer:
    """Return a training of configs/oh2020.py:classify, but for some changes, on noise of so many pixels a side."""
    config = cx.recipes.load("oh2020:classify")
    config.pretrained = ""
    config.segmenter.workdir = "made up"
    config.classifier.classes = synthetic.CLASSES
    config.update_from_flattened_dict(changes)
    few = synthetic.draw_split(len(synthetic.CLASSES), size)
    many = synthetic.draw_split(config.training.batch_size, size)
    return trainer.Trainer(freeze(config), classification.build(config, many, few, LungsThroughout(config, None)))


class LungsThroughout(LungSegmenter):
    """Finds lungs in every pixel: they are found before a training, and have no part in how long its steps take."""

    def segment(self, split: batch.RadiographBatch) -> LungMasks:
        """The lungs of a split."""
        return LungMasks(np.ones(split.images.shape, bool), np.ones(len(split), np.float32), np.ones(len(split), bool))


def train_stored(folder: str, stored: str, changes: dict[str, Any]) -> Work:
    """Steps of a classifier's training on a prepared data set, one after the other; the runs of `write_runs` are there.

    Between the turns nothing is read ahead, so that a turn is many steps.
    """
    config = cx.recipes.load("oh2020:classify")
    config.pretrained, config.segmenter.workdir, config.data.dir = "", f"{folder}/segmenter", stored
    config.classifier.classes = synthetic.CLASSES
    config.update_from_flattened_dict(changes)
    workdir = Path(folder) / "trained"
    settings = trainer.setup_workdir(freeze(config), workdir)
    training = trainer.Trainer(settings, trainer.build_task(settings, workdir))
    return Work({f"{STEPS} steps": _walk(training, STEPS)}, _facts())


def train_segmenter(size: int = 256, cache: str = "") -> Work:
    """A step on 2 radiographs of 256²: FC-DenseNet103; its program comes from a cache, if any."""
    cx.enable_compilation_cache(cache)
    return Work(_steps(lay_out_segmenter({}, size)), _facts())


def lay_out_segmenter(changes: dict[str, Any], size: int = 256) -> trainer.Trainer:
    """Return a training of configs/oh2020.py:segment, but for some changes, on noise of so many pixels a side."""
    config = cx.recipes.load("oh2020:segment")
    config.update_from_flattened_dict(changes)
    split = synthetic.draw_split(config.training.batch_size, size)
    return trainer.Trainer(freeze(config), segmentation.build(config, split, split))


def examine_many(folder: str, count: int) -> Work:
    """So many radiographs of noise, in the batches of evaluation."""
    model = cx.load(Path(folder) / "classifier")
    size = model.spec.input.size
    images = synthetic.draw_split(count, size).images
    batch_size = min(count, model.config.evaluation.batch_size)
    found: list[cx.Prediction] = []

    def run() -> None:
        found.clear()
        for prediction in model.predict_iter(images, preprocessed=True, batch_size=batch_size):
            if len(found) < KEPT:
                found.append(prediction)

    def results() -> dict[str, Any]:
        blank = np.zeros((size, size), bool)
        return {
            "votes": [list(prediction.votes.values()) for prediction in found],
            "probabilities": [np.nan_to_num(list(prediction.probabilities.values())) for prediction in found],
            "saliency": [prediction.saliency for prediction in found],
            "lung_mask": [blank if prediction.lung_mask is None else prediction.lung_mask for prediction in found],
        }

    return Work({"examine": run}, _facts(), results)


def predict_folder(folder: str, pictures: str, output: str) -> Work:
    """All files of a folder, to a row and a picture each."""
    sharding.use_one_device_per_core()
    run = partial(predict_files.predict, Path(folder) / "classifier", Path(pictures), Path(output))
    return Work({"predict": run}, _facts())


def predict_many_ways(run: str, radiographs: str, output: str) -> Work:
    """All files of a folder: by the networks alone, and by the command without files, with figures, and with all."""
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

    return Work(
        {
            "networks alone": apply_networks,
            "table": partial(predict, "table", []),
            "figures": partial(predict, "figures", ["figure"]),
            "all files": partial(predict, "all", list(saved_files.KINDS)),
        },
        _facts(),
    )


def _steps(training: trainer.Trainer) -> dict[str, Callable[[], Any]]:
    """Steps one after the other, each a turn."""
    return {"step": _walk(training, 1)} | _product()


def _walk(training: trainer.Trainer, count: int) -> Callable[[], None]:
    """So many steps more, at every call."""
    state, number = training.init_state(0), 0

    def run() -> None:
        nonlocal state, number
        for _ in range(count):
            state = training.step(state, number)
            number += 1
        jax.block_until_ready(state)

    return run


def _facts() -> dict[str, Any]:
    return {"jax": jax.__version__, "backend": jax.default_backend(), "devices": jax.device_count()}


def _product() -> dict[str, Callable[[], Any]]:
    a = jnp.ones((roofline.SIDE, roofline.SIDE))
    return _wait({roofline.PRODUCT: partial(jax.jit(jnp.dot), a, a)})


def _wait(stages: dict[str, Callable[[], Any]]) -> dict[str, Callable[[], Any]]:
    return {name: (lambda run=run: jax.block_until_ready(run())) for name, run in stages.items()}


if __name__ == "__main__":
    malloc.tune_malloc()
    serve(
        {
            "runs": write_runs,
            "votes": vote,
            "segment": segment_batches,
            "train classifier": train_classifier,
            "train segmenter": train_segmenter,
            "train stored": train_stored,
            "examine": examine_many,
            "predict": predict_folder,
            "folder": predict_many_ways,
        }
    )
