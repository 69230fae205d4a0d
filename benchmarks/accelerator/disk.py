"""Speed from disk: prediction of files with and without figures, and training from array_record files."""

import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np

from benchmarks import synthetic
from benchmarks.accelerator import cases, packed
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
# Megabytes of radiographs that a training holds in memory; with hardly any, it reads them in every epoch.
CACHES = {"in the device's memory": 1e6, "read from disk": 0.001}


def prepare(sizes: Sizes, folder: Path, out: Path) -> Callable[[float], Iterator[Row]]:
    """Compile predictions and trainings; return a function that predicts folders of real radiographs, and trains."""
    folder = folder / "disk"
    folder.mkdir()
    compilation_cache.enable_compilation_cache(os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(folder / "compiled"))
    num_sources = write_files(folder, sizes)
    workdir = folder.parent / "classifier"
    num_first = 2 if sizes.tiny else NUM_FIRST
    model = predictor.load_predictor(workdir, use_ood_detector=False)
    images = synthetic.draw_split((1 if sizes.tiny else 8) * model.config.evaluation.batch_size, sizes.image).images
    list(model.predict(images[:1]))
    for has_figures in (False, True):
        _predict(workdir, folder, f"compiling {has_figures}", num_first, has_figures)
    trainings = {what: _start_training(sizes, folder, what, limit) for what, limit in CACHES.items()}

    def run(seconds: float) -> Iterator[Row]:
        yield Row(PART, "files", f"{sizes.files}, copies of {num_sources} radiographs")
        start = time.perf_counter()
        for _ in model.predict(images):
            pass
        device_rate = len(images) / (time.perf_counter() - start)
        yield Row(PART, "device, radiographs in memory", device_rate, "radiographs/s")
        for what, count, has_figures, target in (
            ("without figures", sizes.files, False, 150),
            ("with figures", sizes.pictures, True, 60),
        ):
            first = _predict(workdir, folder, f"{what} {num_first}", num_first, has_figures)
            total = _predict(workdir, folder, f"{what} {count}", count, has_figures)
            rate = (count - num_first) / max(total - first, 1e-9)  # for the additional files
            note = f"target: {target}; the start and the first {num_first} files take {first:.1f} s"
            yield Row(PART, f"predict, {what}", rate, "files/s", note=note)
            waiting = max(0.0, 1 - rate / device_rate)
            name = f"predict, {what}: fraction of the time that the device waits"
            yield Row(PART, name, waiting, note="target: below 0.1")
        yield _read_only(folder / "pictures", sizes)
        for what, step in trainings.items():
            yield _time_training(what, step, sizes)

    return run


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


def _read_only(pictures: Path, sizes: Sizes) -> Row:
    """Measure reading and standardizing in one thread."""
    files = sorted(pictures.iterdir())[: 4 if sizes.tiny else 100]
    start = time.perf_counter()
    for file in files:
        preprocessing.standardize(radiograph.read(file), size=sizes.image, gamma=0.5)
    return Row(PART, "reading and standardizing, one thread", len(files) / (time.perf_counter() - start), "files/s")


def _start_training(sizes: Sizes, folder: Path, what: str, cache_limit_mb: float) -> Callable[[], jax.Array]:
    """Compile a training of the classifier; return a function that dispatches its next step."""
    stored, classes = packed.locate_findings(folder, sizes)
    config = recipes.load("oh2020:classify")
    config.update_from_flattened_dict(sizes.changes | {"data.dir": str(stored), "data.cache_limit_mb": cache_limit_mb})
    config.pretrained, config.classifier.classes = "", classes
    config.segmenter.workdir = str(folder.parent / "segmenter")
    config.data.num_threads = packed.num_reader_threads()
    config.training.batch_size = sizes.classifier_batches[0]
    workdir = folder / f"training {what}"
    settings = trainer.setup_workdir(freeze(config), workdir)
    run_dir.create_or_resume(workdir, settings)
    step = cases.stepper(trainer.Trainer(settings, trainer.build_task(settings, workdir)))
    jax.block_until_ready(step())
    return step


def _time_training(what: str, step: Callable[[], jax.Array], sizes: Sizes) -> Row:
    """Measure training steps."""
    count = 2 if sizes.tiny else 100
    start = time.perf_counter()
    for _ in range(count):
        loss_sum = step()
    jax.block_until_ready(loss_sum)
    seconds = (time.perf_counter() - start) / count
    note = "" if np.isfinite(float(loss_sum)) else "failed: the loss is not finite"
    return Row(PART, f"training, {what}", 1 / seconds, "steps/s", note=note)
