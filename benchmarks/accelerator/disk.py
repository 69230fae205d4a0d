"""Speed from disk: prediction of files with and without figures, and training from array_record files."""

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from benchmarks import synthetic
from benchmarks.accelerator import packed
from benchmarks.accelerator.rows import Row
from benchmarks.accelerator.sizes import Sizes
from cxrjax.cli import predict_files
from cxrjax.config import freeze, recipes
from cxrjax.data import preprocessing
from cxrjax.inference import predictor
from cxrjax.io import radiograph
from cxrjax.runs import run_dir
from cxrjax.runtime import compilation_cache
from cxrjax.training import trainer

PART = "disk"
NUM_FIRST = 64  # files that are also predicted alone, to measure the time of the start
NO_CACHE = 0.001  # megabytes, so that radiographs are read in every epoch


def run(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Predict folders of real radiographs, then train from disk."""
    compilation_cache.enable_compilation_cache(os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(folder / "compiled"))
    num_sources = write_files(folder, sizes)
    yield Row(PART, "files", f"{sizes.files}, copies of {num_sources} radiographs")
    workdir = folder / "classifier"
    device_rate = _measure_device(workdir, sizes)
    yield Row(PART, "device, radiographs in memory", device_rate, "radiographs/s")
    for what, count, has_figures, target in (
        ("without figures", sizes.files, False, 150),
        ("with figures", sizes.pictures, True, 60),
    ):
        num_first = 2 if sizes.tiny else NUM_FIRST
        start = _predict(workdir, folder, f"{what} {num_first}", num_first, has_figures)
        total = _predict(workdir, folder, f"{what} {count}", count, has_figures)
        seconds = max(total - start, 1e-9)  # for the additional files
        rate = (count - num_first) / seconds
        note = f"target: {target}; the start and the first {num_first} files take {start:.1f} s"
        yield Row(PART, f"predict, {what}", rate, "files/s", note=note)
        yield Row(
            PART,
            f"predict, {what}: fraction of the time that the device waits",
            max(0.0, 1 - rate / device_rate),
            note="target: below 0.1",
        )
    yield from _read_only(folder / "pictures", sizes)
    yield from _train(sizes, folder)


def write_files(folder: Path, sizes: Sizes) -> int:
    """Write FOLDER/pictures, files that repeat the packed radiographs or noise; return the number of distinct files."""
    pictures = folder / "pictures"
    pictures.mkdir()
    stored = list(itertools.islice(packed.read_files(sizes), sizes.files))
    for number, (name, data) in zip(range(sizes.files), itertools.cycle(stored), strict=False):
        target = pictures / f"{number:06}{Path(name).suffix}"
        if number < len(stored):
            target.write_bytes(data)
        else:
            os.link(pictures / f"{number % len(stored):06}{Path(name).suffix}", target)
    return len(stored)


def _predict(workdir: Path, folder: Path, name: str, count: int, has_figures: bool) -> float:
    """Return the seconds of predicting `count` files into FOLDER/NAME, with or without figures."""
    source = folder / f"{name} of"
    output = folder / name
    source.mkdir()
    for file in sorted((folder / "pictures").iterdir())[:count]:
        os.link(file, source / file.name)
    start = time.perf_counter()
    predict_files.predict(workdir, source, output, save=("figure",) if has_figures else ())
    return time.perf_counter() - start


def _measure_device(workdir: Path, sizes: Sizes) -> float:
    """Return the radiographs per second of the predictor alone, without reading and drawing, and compile it."""
    batches = 1 if sizes.tiny else 8
    model = predictor.load_predictor(workdir, use_ood_detector=False)
    images = synthetic.draw_split(batches * model.config.evaluation.batch_size, sizes.image).images
    list(model.predict(images[:1]))
    start = time.perf_counter()
    for _ in model.predict(images):
        pass
    return len(images) / (time.perf_counter() - start)


def _read_only(pictures: Path, sizes: Sizes) -> Iterator[Row]:
    """Measure reading and standardizing in one thread."""
    files = sorted(pictures.iterdir())[: 4 if sizes.tiny else 100]
    start = time.perf_counter()
    for file in files:
        preprocessing.standardize(radiograph.read(file), size=sizes.image, gamma=0.5)
    yield Row(PART, "reading and standardizing, one thread", len(files) / (time.perf_counter() - start), "files/s")


def _train(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Measure training steps of the classifier with radiographs in the device's memory, and read from disk."""
    stored, classes = packed.locate_findings(folder, sizes)
    for what, cache_limit_mb in (("in the device's memory", 1e6), ("read from disk", NO_CACHE)):
        config = recipes.load("oh2020:classify")
        config.update_from_flattened_dict(
            sizes.changes | {"data.dir": str(stored), "data.cache_limit_mb": cache_limit_mb}
        )
        config.pretrained, config.classifier.classes = "", classes
        config.segmenter.workdir = str(folder / "segmenter")
        config.data.num_threads = max(2, min(12, (os.cpu_count() or 2) - 2))
        config.training.batch_size = sizes.classifier_batches[0]
        workdir = folder / f"training {what}"
        settings = trainer.setup_workdir(freeze(config), workdir)
        run_dir.create_or_resume(workdir, settings)
        training = trainer.Trainer(settings, trainer.build_task(settings, workdir))
        state = training.step(training.init_state(0), 0)
        jax.block_until_ready(state)
        count = 2 if sizes.tiny else 100
        start = time.perf_counter()
        for number in range(1, count + 1):
            state = training.step(state, number)
        jax.block_until_ready(state)
        seconds = (time.perf_counter() - start) / count
        if not np.isfinite(float(state.loss_sum)):
            yield Row(PART, f"training, {what}", "failed: the loss is not finite")
        yield Row(PART, f"training, {what}", 1 / seconds, "steps/s", note=f"{config.data.num_threads} reader threads")
