"""Fitting of a run's OOD detector to the training radiographs of its classifier (see `cxrjax.inference.ood`)."""

import sys
from pathlib import Path

import jax
import numpy as np

from cxrjax.data import dataset
from cxrjax.inference import ood, ood_store, pipeline
from cxrjax.inference.predictor import load_predictor
from cxrjax.runs import run_dir
from cxrjax.runtime import multihost
from cxrjax.runtime.formatting import format_count


def fit_ood_detector(workdir: Path) -> ood.OODDetector:
    """Fit the OOD detector of a trained classifier to its training radiographs, and save it in the run.

    Args:
        workdir: Run directory.

    Raises:
        RunError: The run has no classifier with a segmenter, or too few radiographs with lungs.
        DatasetError: See `dataset.open_split`.
    """
    predictor = load_predictor(workdir, use_ood_detector=False)
    config = predictor.config
    if not (predictor.classes and predictor.has_segmenter):
        raise run_dir.RunError(f"{workdir}: is not a run of a classifier with a segmenter, as the OOD detector needs")
    radiographs = dataset.open_split(config, config.data.train)
    count = min(len(radiographs), config.ood.num_images)
    selected = radiographs.select(np.linspace(0, len(radiographs) - 1, count).astype(int).tolist())
    rows = []
    patients = []
    for result, patient in zip(predictor.predict(selected.images), selected.patients, strict=True):
        if result.label != pipeline.NO_CLASS:
            rows.append(result.ood_statistics)
            patients.append(patient)
    if not rows:
        raise run_dir.RunError(
            f"{workdir}: no lungs were found in {format_count(len(selected), 'training radiograph')} to fit the OOD "
            "detector to"
        )
    statistics = jax.tree.map(lambda *leaves: np.stack(leaves), *rows)
    try:
        detector = ood.fit_detector(statistics, patients, config.ood.keep_quantile)
    except ValueError as error:
        raise run_dir.RunError(f"{workdir}: {error}") from None
    flag_rate = ood.expected_flag_rate(patients, config.ood.keep_quantile)
    if flag_rate > 1.01 * (1 - config.ood.keep_quantile):
        print(
            f"cxrjax: the OOD detector is fitted to {format_count(len(rows), 'radiograph')} and may flag "
            f"{flag_rate:.1%} of others in error instead of the {1 - config.ood.keep_quantile:.1%} of "
            f"ood.keep_quantile={config.ood.keep_quantile}; use more patients or a lower quantile",
            file=sys.stderr,
        )
    multihost.primary_first(lambda: ood_store.save(workdir, detector, predictor.step, flag_rate))
    return detector
