"""Fit a run's gate: what the radiographs look like that its classifier was trained on (`cxrjax/inference/ood.py`)."""

import sys
from pathlib import Path

import jax
import numpy as np

from cxrjax.data import dataset
from cxrjax.inference import ood, ood_store, pipeline
from cxrjax.inference.predictor import Predictor
from cxrjax.runs import run_dir
from cxrjax.runtime import multihost


def fit_ood_detector(workdir: Path) -> ood.OODDetector:
    """Fit the gate of a trained classifier to the radiographs that it learned from, and keep it in the run.

    Args:
        workdir: the run directory.

    Returns:
        The Gate.

    Raises:
        UnfitRun: it trained no classifier, or there is nothing to fit its gate to.
        DatasetError: see `dataset.load`.
    """
    examiner = Predictor(workdir, use_ood_detector=False)
    config = examiner.config
    if not (examiner.is_classifier and examiner.has_segmenter):
        raise run_dir.RunError(f"{workdir}: a gate belongs to a classifier that has a segmenter")
    stored = dataset.open_split(config, config.data.train)
    count = min(len(stored), config.gate.radiographs)
    cases = stored.select(np.linspace(0, len(stored) - 1, count).astype(int))
    kept = [
        (result.ood_statistics, patient)
        for result, patient in zip(examiner.predict(cases.images), cases.patients, strict=True)
        if result.label != pipeline.NO_CLASS
    ]
    if not kept:
        raise run_dir.RunError(f"{workdir}: no lungs were found in {len(cases)} training radiographs to fit a gate to")
    evidence = jax.tree.map(lambda *each: np.stack(each), *(evidence for evidence, _ in kept))
    try:
        fitted = ood.fit_detector(evidence, [patient for _, patient in kept], config.gate.quantile)
    except ValueError as error:
        raise run_dir.RunError(f"{workdir}: {error}") from None
    flagged = ood.expected_flag_rate([patient for _, patient in kept], config.gate.quantile)
    if flagged > 1.01 * (1 - config.gate.quantile):
        print(
            f"cxrjax: the gate is fitted to {len(kept)} radiographs and may flag {flagged:.1%} of such in error, not "
            f"the {1 - config.gate.quantile:.1%} of gate.quantile={config.gate.quantile}; more patients, or a lower "
            "quantile, would keep that",
            file=sys.stderr,
        )
    multihost.primary_first(lambda: ood_store.save_gate(workdir, fitted, examiner.step, flagged))
    return fitted
