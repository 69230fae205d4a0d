"""What cxrjax does of each work, through its public doors alone."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import cxrjax as cx
from benchmarks import ceiling, made_up
from benchmarks.contestants import preparation
from benchmarks.contestants.worker import MANY, SEVERAL, WHOLE, Work, serve
from cxrjax.cli import predict_files
from cxrjax.config import recipes
from cxrjax.data import batch, preprocessing
from cxrjax.inference import inputs, patch_parallel, pipeline
from cxrjax.inference.lung_segmenter import LungMasks, LungSegmenter
from cxrjax.inference.strategies import local_patches, patch_classifier
from cxrjax.io import radiograph
from cxrjax.models import from_config, registry, spec
from cxrjax.ops import lung_masks, patches, voting
from cxrjax.runs import run_dir
from cxrjax.runtime import malloc, sharding
from cxrjax.training import classification, segmentation, trainer

STEPS = 10  # of a turn, where radiographs are read as they are needed
KEPT = 8  # results of `examine_many` that others are compared with; all of them would be what grows


def write_runs(folder: str, changes: dict[str, Any]) -> Work:
    """No race: the runs that the others need, see `made_up`."""
    made_up.write_runs(Path(folder), **changes)
    return Work({})


def vote(folder: str, picture: str) -> Work:
    """From a file to its finding with votes and map, whole and each stage alone; and several files at once."""
    sharding.use_one_device_per_core()
    workdir = Path(folder) / "classifier"
    config = run_dir.load_config(workdir)
    dense, settings = config.patches.mode == "dense", from_config.inference_config(config, config.patches.count)
    segmenter, classifier = from_config.segmenter(config), from_config.classifier(config)
    model = cx.load(workdir)
    held = run_dir.load_networks(workdir, config)
    equalise = partial(
        preprocessing.standardize,
        size=config.image.size,
        gamma=config.image.gamma,
        equalize=config.image.equalise,
        borders=config.image.borders,
    )
    (key,) = pipeline.image_keys(config.seed, batch.hash_images([equalise(radiograph.read(picture))]))

    segment_one = jax.jit(lambda held, image: pipeline.segment(segmenter, held["segmenter"], image[None], settings))
    draw = jax.jit(patches.sample_patch_centers, static_argnums=2)
    crop = jax.jit(patches.extract_patches, static_argnums=2)
    classify_one = jax.jit(
        lambda held, *given: pipeline.classify_image(
            classifier,
            registry.precompute_kernels(held["classifier"]),
            inputs.SegmentedRadiograph(*given, key),
            settings,
        )
    )
    count = jax.jit(partial(voting.count_votes, rule=settings.aggregation))
    draw_patches = jax.jit(
        lambda *given: local_patches.sample(classifier, inputs.SegmentedRadiograph(*given), settings)
    )
    most = patch_parallel.count_devices(held["classifier"])
    shares = sharding.BatchSharding(settings.num_patches, most)
    look = shares.compile(
        lambda prepared, crops: patch_classifier.classify_patches(classifier, prepared, crops, settings)
    )
    prepared = (
        None if dense or most == 1 else shares.replicate(jax.jit(registry.precompute_kernels)(held["classifier"]))
    )
    show = jax.jit(lambda held, *given: pipeline.saliency_map(classifier, held["classifier"], *given, settings))

    def draw_and_look() -> Any:
        """As the examiner does of a lone radiograph."""
        if prepared is None:
            return classify_one(held, image, lungs, confidence)
        crops = draw_patches(image, lungs, confidence, key).pixels
        return look(prepared, shares.shard(np.asarray(crops)))

    def find() -> cx.Prediction:
        return model.predict(picture)

    def find_many() -> list[cx.Prediction]:
        return model.predict([picture] * SEVERAL)

    def results() -> dict[str, Any]:
        seen = {"image": image, "lungs": lungs}
        if dense:
            return seen
        few = crop(jnp.asarray(image), jnp.array(preparation.spread(len(image))), classifier.patch_size)
        features = registry.extract_features(
            classifier.module, held["classifier"], inputs.normalize(inputs.to_float(few), classifier)
        )
        logits = registry.apply_head(classifier.module, held["classifier"], features)
        return seen | {"logits": logits}

    read = radiograph.read(picture)
    image = equalise(read)
    found = segment_one(held, image)
    lungs, confidence = found.lung_mask[0], found.confidence[0]
    masked = jnp.where(lungs, image, 0)
    centres = draw(key, lungs, settings.num_patches)
    patched = classify_one(held, image, lungs, confidence)
    finding = count(patched.logits, counted=patched.valid).label
    stages = {
        "read": lambda: radiograph.read(picture),
        "standardise": lambda: equalise(read),
        "segment": lambda: segment_one(held, image),
        "draw": lambda: draw(key, lungs, settings.num_patches),
        "crop": lambda: crop(masked, centres, classifier.patch_size),
        "draw, crop, classify": draw_and_look,
        "vote": lambda: count(patched.logits, counted=patched.valid),
        "map": lambda: show(held, image, patched, finding),
        WHOLE: find,
        MANY: find_many,
    }
    if dense:
        del stages["draw"], stages["crop"]
    return Work(_wait(stages) | _product(), _facts(), results)


def segment_batches(batches: list[int]) -> Work:
    """FC-DenseNet103 at 256², the network alone, in batches."""
    module = registry.create("fc_densenet103", len(lung_masks.STRUCTURES))
    variables = jax.device_put(made_up.draw_weights(spec.ModelSpec(module, 256, 1)))
    run = jax.jit(partial(module.apply, train=False))
    pictures = {n: jnp.asarray(np.random.default_rng(n).random((n, 256, 256, 1), np.float32)) for n in batches}
    stages = {f"batch of {n}": partial(run, variables, x) for n, x in pictures.items()}
    return Work(_wait(stages) | _product(), _facts())


def train_classifier(size: int = 1024) -> Work:
    """A step on 16 crops of 224², drawn and augmented in it: ResNet18."""
    return Work(_steps(lay_out_classifier({}, size)), _facts())


def lay_out_classifier(changes: dict[str, Any], size: int = 1024) -> trainer.Trainer:
    """Return a training of configs/oh2020.py:classify, but for some changes, on noise of so many pixels a side."""
    config = recipes.load("oh2020:classify")
    config.init = ""
    config.segmenter.workdir = "made up"
    config.classifier.classes = made_up.CLASSES
    config.update_from_flattened_dict(changes)
    few = made_up.draw_split(len(made_up.CLASSES), size)
    many = made_up.draw_split(config.training.batch_size, size)
    return trainer.Trainer(config, classification.build(config, many, few, LungsThroughout(config, None)))


class LungsThroughout(LungSegmenter):
    """Finds lungs in every pixel: they are found before a training, and have no part in how long its steps take."""

    def segment(self, split: batch.RadiographBatch) -> LungMasks:
        """The lungs of a split."""
        return LungMasks(np.ones(split.images.shape, bool), np.ones(len(split), np.float32), np.ones(len(split), bool))


def train_stored(folder: str, stored: str, changes: dict[str, Any]) -> Work:
    """Steps of a classifier's training on a prepared data set, one after the other; the runs of `write_runs` are there.

    Between the turns nothing is read ahead, so that a turn is many steps.
    """
    config = recipes.load("oh2020:classify")
    config.init, config.segmenter.workdir, config.data.directory = "", f"{folder}/segmenter", stored
    config.classifier.classes = made_up.CLASSES
    config.update_from_flattened_dict(changes)
    workdir = Path(folder) / "trained"
    trainer.setup_workdir(config, workdir)
    training = trainer.Trainer(config, trainer.build_task(config, workdir))
    return Work({f"{STEPS} steps": _walk(training, STEPS)}, _facts())


def train_segmenter(size: int = 256) -> Work:
    """A step on 2 radiographs of 256²: FC-DenseNet103."""
    return Work(_steps(lay_out_segmenter({}, size)), _facts())


def lay_out_segmenter(changes: dict[str, Any], size: int = 256) -> trainer.Trainer:
    """Return a training of configs/oh2020.py:segment, but for some changes, on noise of so many pixels a side."""
    config = recipes.load("oh2020:segment")
    config.update_from_flattened_dict(changes)
    split = made_up.draw_split(config.training.batch_size, size)
    return trainer.Trainer(config, segmentation.build(config, split, split))


def examine_many(folder: str, count: int) -> Work:
    """So many radiographs of noise, in the batches of evaluation."""
    sharding.use_one_device_per_core()
    workdir = Path(folder) / "classifier"
    model = cx.load(workdir)
    size = model.spec.input.size
    images = made_up.draw_split(count, size).images
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
    a = jnp.ones((ceiling.SIDE, ceiling.SIDE))
    return _wait({ceiling.PRODUCT: partial(jax.jit(jnp.dot), a, a)})


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
        }
    )
