"""Measure the remedies against shortcuts on phantoms whose shortcuts are known.

    python -m benchmarks.remedies --quick
    python -m benchmarks.remedies --out=runs/remedies
    python -m benchmarks.remedies --out=runs/remedies --real=TABLE.csv   # on real radiographs, `remedies_real`

For each planted feature, strength, remedy and seed, trains a small classifier and measures how well it recognizes the
class of the feature on the test split, where the feature is associated with the class as in training, and on the split
"broken", where it says nothing about the class. A training on data where the feature says nothing (strength 0.5) is the
reference. Writes OUT/cells/NAME.json for each training, and benchmarks/REMEDIES.md from all of them. The same command
resumes an interrupted run.
"""

import argparse
import itertools
import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import remedies_real, remedies_table
from benchmarks.remedies_config import SIZE, load_predictor, needs_lungs, small_classifier
from cxrjax.config import LABELS, default_config, freeze
from cxrjax.data import dataset
from cxrjax.metrics import baselines, cross_auroc, simple
from cxrjax.runs import provenance
from cxrjax.runs.run_dir import RunError
from cxrjax.runtime import atomic_files, compilation_cache
from cxrjax.training import trainer
from cxrjax.training.remedies import last_layer
from data_prep.__main__ import main as prepare
from data_prep.phantom.planted import BROKEN, FEATURES, PLANTED_LABEL

STRENGTHS = (0.95, 1.0, 0.8)
NO_SHORTCUT = 0.5
_FINISHED = "done"  # file in the folder of a finished training
_GROUP_DRO = {"remedy.loss": "group_dro", "remedy.dro_step_size": 0.1, "optimizer.weight_decay": 1e-2}
_CENTER_CROP = {"patches.center_crop": 0.25, "training.augment_probability": 0.0}  # also in training
# Name -> changed settings, by config key.
REMEDIES: dict[str, dict[str, Any]] = {
    "none": {},
    "balance": {"remedy.balance": True},
    "pairs": {"remedy.pairs": True},
    "bias_balanced": {"remedy.loss": "bias_balanced"},
    "group_dro": _GROUP_DRO,
    "appearance": {"remedy.appearance": 0.5},
    "surroundings": {"remedy.surroundings": 1.0},
    "spectrum": {"remedy.spectrum": 1.0},
    "equalize": {"image.equalize": True},
    "center_crop": _CENTER_CROP,
    "scale": {"augmentation.scale": 0.3},
    "balance+scale": {"remedy.balance": True, "augmentation.scale": 0.3},
    "balance+spectrum": {"remedy.balance": True, "remedy.spectrum": 1.0},
    "balance+mix_sources": {"remedy.balance": True, "remedy.mix_sources": 0.5},
    "adversary": {"remedy.adversary": 0.3},
    "balance+adversary": {"remedy.balance": True, "remedy.adversary": 0.3},
    "balance+distance_correlation": {"remedy.balance": True, "remedy.distance_correlation": 1.0},
    "single_class_weight": {"remedy.single_class_weight": 0.0},
    "worst_group": {"training.metric": "worst_group"},
    "balance+surroundings": {"remedy.balance": True, "remedy.surroundings": 1.0},
    "mask_lungs": {"patches.mask_lungs": True},
    "lung_box": {"patches.mode": "lung_bbox"},
    "match": {"remedy.match": ("age",)},
    "match+lung_box": {"remedy.match": ("age",), "patches.mode": "lung_bbox"},
    "group_dro+lung_box": _GROUP_DRO | {"patches.mode": "lung_bbox"},
    "group_dro+center_crop": _GROUP_DRO | _CENTER_CROP,
    # The last layer of a training without a remedy, trained again on the training split with a penalty of _PENALTIES.
    "last_layer": {},
    "last_layer_1": {},
}
_PENALTIES = {"last_layer": 0.01, "last_layer_1": 1.0}  # factors of the squared weights
QUICK_REMEDIES = ("none", "balance", "spectrum", "center_crop", "bias_balanced", "last_layer")
QUICK_MINUTES = 20.0


class Cell(NamedTuple):
    """One training of the benchmark."""

    feature: str
    strength: float
    remedy: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its file and folder."""
        return f"{self.feature}-{self.strength:g}-{self.remedy}-{self.seed}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/remedies"),
        help="folder of the data and the results (default: %(default)s)",
    )
    parser.add_argument(
        "--report",
        type=Path,
        default=Path("benchmarks/REMEDIES.md"),
        help="Markdown file to write (default: %(default)s)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"one seed, fewer remedies, and no new training after {QUICK_MINUTES:.0f} minutes",
    )
    parser.add_argument("--minutes", type=float, default=0.0, help="start no training after this time; 0: no limit")
    parser.add_argument("--only", default="", help="only trainings whose name contains this text")
    parser.add_argument(
        "--real", type=Path, help="table of real radiographs of several sources, to be used instead of phantoms"
    )
    options = parser.parse_args()
    minutes = options.minutes or (QUICK_MINUTES if options.quick else float("inf"))
    end = time.monotonic() + 60 * minutes
    compilation_cache.enable_compilation_cache(str(options.out / "compiled"))
    if options.real:
        remedies_real.run(options.real, options.out, end)
    for cell in () if options.real else list_cells(options.quick):
        target = options.out / "cells" / f"{cell.name}.json"
        if target.exists() or options.only not in cell.name:
            continue
        if time.monotonic() > end:
            break
        target.parent.mkdir(parents=True, exist_ok=True)
        result = run(cell, options.out)
        atomic_files.atomic_write(target, (json.dumps(cell._asdict() | result, indent=2) + "\n").encode())
        print(f"{cell.name}: {json.dumps(result)}", file=sys.stderr, flush=True)
    results = [json.loads(path.read_text()) for path in sorted((options.out / "cells").glob("*.json"))]
    real_results = [json.loads(path.read_text()) for path in sorted((options.out / "real_cells").glob("*.json"))]
    report = [remedies_table.format_report(results), remedies_real.format_section(real_results)]
    atomic_files.atomic_write(options.report, "\n".join(filter(None, report)).encode())
    return 0


def list_cells(quick: bool) -> Iterator[Cell]:
    """Yield the trainings, most important first: for each seed, the reference and then the remedies."""
    seeds = range(1 if quick else 3)
    remedies = QUICK_REMEDIES if quick else tuple(REMEDIES)
    for seed, strength, feature in itertools.product(seeds, STRENGTHS[:2] if quick else STRENGTHS, FEATURES):
        yield Cell(feature, NO_SHORTCUT, "none", seed)
        for remedy in remedies:
            yield Cell(feature, strength, remedy, seed)


def run(cell: Cell, out: Path) -> dict[str, Any]:
    """Train one classifier and return its scores; {"refused": reason} if cxrjax refuses the training."""
    data = _prepare_data(cell, out)
    start = time.process_time()
    # The last layer is trained again on the features of the training without a remedy.
    trained = cell._replace(remedy="none") if cell.remedy in _PENALTIES else cell
    workdir = out / "runs" / trained.name
    try:
        if not (workdir / _FINISHED).exists():
            shutil.rmtree(workdir, ignore_errors=True)
            trainer.train(freeze(_config(trained, data, out)), workdir)
            (workdir / _FINISHED).touch()
        if cell.remedy in _PENALTIES:
            target = out / "runs" / cell.name
            shutil.rmtree(target, ignore_errors=True)
            last_layer.retrain_last_layer(workdir, target, split="train", penalty=_PENALTIES[cell.remedy])
            workdir = target
    except (ValueError, RunError) as error:
        return {"refused": str(error).removeprefix(f"{workdir}: ")}
    counts = provenance.load_label_counts(workdir) or {}
    scores = {split: _score(cell, out, workdir, data, split, counts) for split in ("test", BROKEN)}
    if cell.remedy != "none":
        shutil.rmtree(workdir)
    return {**scores, "cpu_seconds": time.process_time() - start}


def _prepare_data(cell: Cell, out: Path) -> Path:
    """Draw the phantoms of a feature and a strength unless they exist; return the folder of the data set."""
    name = f"{cell.feature}_{round(100 * cell.strength)}"
    if not (out / "data" / name).exists():
        planted = f"--planted={cell.feature}={cell.strength:g}"
        arguments = ["phantom", planted, "--count=250", "--broken=100", f"--size={SIZE}", "--split_ratios=0.4,0.1,0.5"]
        if prepare([*arguments, f"--name={name}", f"--out={out / 'data'}", "--duplicates=off"]):
            raise SystemExit(f"{out / 'data' / name}: the phantoms could not be drawn")
    return out / "data" / name


def _train_segmenter(out: Path) -> Path:
    """Train a small segmenter on phantoms without a shortcut unless it exists; return its run directory."""
    workdir = out / "segmenter"
    if (workdir / _FINISHED).exists():
        return workdir
    shutil.rmtree(workdir, ignore_errors=True)
    config: Any = default_config()
    config.task = "segment"
    config.data.dir = str(_prepare_data(Cell(FEATURES[0], NO_SHORTCUT, "none", 0), out))
    config.image.size = SIZE
    config.image.equalize = False
    config.segmenter.architecture = "fc_densenet29"
    config.segmenter.size = SIZE
    config.segmenter.dropout = 0.0
    config.training.epochs = 2
    config.training.batch_size = 8
    config.training.learning_rate = 3e-3
    config.training.schedule = "cosine"
    config.training.metric = "jaccard"
    config.tracking.trackers = ()
    config.tracking.num_images = 0
    trainer.train(freeze(config), workdir)
    (workdir / _FINISHED).touch()
    return workdir


def _config(cell: Cell, data: Path, out: Path) -> Any:
    settings = REMEDIES[cell.remedy]
    config = small_classifier(data, cell.seed, settings)
    config.classifier.classes = LABELS
    if needs_lungs(settings):
        config.segmenter.workdir = str(_train_segmenter(out))
    return config


def _score(
    cell: Cell, out: Path, workdir: Path, data: Path, split: str, counts: dict[str, dict[str, int]]
) -> dict[str, float | None]:
    """Predict a split, save the scores, and return the metrics of `measure` for the planted class."""
    predictor = load_predictor(workdir)
    radiographs = dataset.load(
        str(data),
        split,
        size=SIZE,
        gamma=predictor.config.image.gamma,
        equalize=predictor.config.image.equalize,
        borders="uniform",
        num_threads=2,
    )
    index = LABELS.index(PLANTED_LABEL)
    scores = np.array([result.probabilities[index] for result in predictor.predict(radiographs.images)])
    folder = out / "predictions"
    folder.mkdir(exist_ok=True)
    np.savez(folder / f"{cell.name}-{split}.npz", scores=scores, labels=radiographs.labels, sources=radiographs.sources)
    positive = np.array(radiographs.labels) == PLANTED_LABEL
    shares = baselines.source_probabilities(counts, radiographs.sources, LABELS)[:, index]
    return measure(positive, scores, np.array(radiographs.sources), shares)


def measure(
    positive: np.ndarray, scores: np.ndarray, sources: np.ndarray, shares: np.ndarray
) -> dict[str, float | None]:
    """Return the metrics of a split; None for an undefined metric.

    Args:
        positive: bool [n], whether each radiograph is of the planted class.
        scores: [n], predicted probability of the class.
        sources: [n], source of each radiograph.
        shares: [n], frequency of the class among the training radiographs of that source.
    """
    network = simple.bootstrap_ci(simple.auroc, positive, scores, num_resamples=500)
    once = np.ones((1, len(scores)))
    parts = [sources == source for source in np.unique(sources)]
    values = {
        "auroc": network.value,
        "low": network.low,
        "high": network.high,
        "source": simple.auroc(positive, shares),
        "within_source": np.mean([simple.auroc(positive[part], scores[part]) for part in parts]),
        "against_source": cross_auroc.conflicting(positive, scores, shares, once).value[0],
        "with_source": cross_auroc.aligned(positive, scores, shares, once).value[0],
    }
    return {name: None if np.isnan(value) else float(value) for name, value in values.items()}


if __name__ == "__main__":
    sys.exit(main())
