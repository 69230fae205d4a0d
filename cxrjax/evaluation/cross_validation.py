"""Cross-validation: one training per fold of a data set prepared with `--folds=K`, folds drawn by patient.

Run k, in WORKDIR/foldK, is tested on fold k, validated on the next fold, and trained on the others. Its scores are
those of `--mode=evaluate`; WORKDIR/cross_validation.json has them pooled.
"""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from cxrjax.config import Config
from cxrjax.data import dataset, tfds_store
from cxrjax.evaluation import evaluate
from cxrjax.io import json_file
from cxrjax.metrics.confidence import COUNTS
from cxrjax.runs import class_names, run_dir
from cxrjax.runtime import atomic_files, multihost, terminal
from cxrjax.training import trainer

_REMEDY = "remove it, and evaluate the fold again"


def cross_validate(config: Config, workdir: Path) -> dict[str, Any]:
    """Train and evaluate each fold, or resume where an earlier call stopped.

    Args:
        config: see `cxrjax/config/__init__.py`; `data.train` and `data.validation` are set here.
        workdir: folder of the folds' run directories.

    Returns:
        {"folds": names, "scores": {score: {"values", "mean", "deviation", "interval"}}}; see `pool_scores`.

    Raises:
        DatasetError: the data set has fewer than three folds, or one label only.
        RunError: a run directory cannot be used; see `run_dir.create_or_resume`.
        Diverged: a training diverged; see `trainer.train`.
    """
    folds = list_folds(config.data.dir)
    config = class_names.resolve(config, workdir, "+".join(folds))
    run_dir.create_or_resume(workdir, config, run_dir.NEUTRAL)  # finished folds have these settings
    scores = []
    for k, fold in enumerate(folds):
        metrics = workdir / fold / "evaluation" / fold / "metrics.json"
        if not metrics.exists():
            validation = folds[(k + 1) % len(folds)]
            training = "+".join(name for name in folds if name not in (fold, validation))
            data = replace(config.data, train=training, validation=validation)
            if multihost.is_primary():
                terminal.print_line(f"cross-validation: fold {k + 1} of {len(folds)}, tested on {fold}", sys.stderr)
            trainer.train(replace(config, data=data), workdir / fold)
            evaluate.evaluate_run(workdir / fold, fold)
        scores.append(flatten_scores(json_file.read(metrics, _REMEDY).get("all", {})))
    pooled = {name: pool_scores([fold_scores.get(name) for fold_scores in scores]) for name in scores[0]}
    result = {"folds": folds, "scores": pooled}
    atomic_files.atomic_write(workdir / "cross_validation.json", (json.dumps(result, indent=2) + "\n").encode())
    return result


def list_folds(directory: str) -> list[str]:
    """Return the names of the folds of a prepared data set, in order.

    Raises:
        DatasetError: there are fewer than three, one each to train, to validate and to test.
    """
    folds = [name for name in tfds_store.list_splits(directory) if re.fullmatch(r"fold\d+", name)]
    if len(folds) < 3:
        raise dataset.DatasetError(f"{directory}: has {len(folds)} folds; prepare it with --folds=K, K at least 3")
    return sorted(folds, key=lambda name: int(name.removeprefix("fold")))


def flatten_scores(scores: dict[str, Any], prefix: str = "") -> dict[str, float | None]:
    """Return the value of each score by its path in the tree, as "macro/f1"; counts are left out."""
    flat = {}
    for name, value in scores.items():
        if isinstance(value, dict):
            flat |= {prefix + name: value["value"]} if "value" in value else flatten_scores(value, f"{prefix}{name}/")
        elif name not in COUNTS:
            flat[prefix + name] = value
    return flat


def pool_scores(values: Sequence[float | None]) -> dict[str, Any]:
    """Summarize a score over the folds.

    Args:
        values: one value in 0..1 per fold; None where the score is undefined in a fold.

    Returns:
        The values; the mean and standard deviation (n - 1) of those that are defined; and the 95% interval of the mean
        by Student's t with n - 1 degrees of freedom, clipped to 0..1. Trainings on folds share most of their data,
        so that the interval is narrower than that of independent repetitions (Bengio & Grandvalet 2004). None for what
        too few values leave undefined.
    """
    defined = np.array([value for value in values if value is not None], float)
    n = len(defined)
    result: dict[str, Any] = {"values": list(values), "mean": None, "deviation": None, "interval": None}
    if n:
        result["mean"] = float(defined.mean())
    if n > 1:
        result["deviation"] = float(defined.std(ddof=1))
        half = float(stdtrit(n - 1, 0.975)) * result["deviation"] / np.sqrt(n)
        result["interval"] = [max(result["mean"] - half, 0.0), min(result["mean"] + half, 1.0)]
    return result


def format_scores(result: dict[str, Any]) -> str:
    """Format the pooled scores as a Markdown table.

    Args:
        result: result of `cross_validate`.
    """
    lines = [f"| {len(result['folds'])} folds | mean | standard deviation | 95% interval |", "|---|---|---|---|"]
    for name, score in result["scores"].items():
        if score["interval"] is not None:
            low, high = score["interval"]
            lines.append(f"| {name} | {score['mean']:.3f} | {score['deviation']:.3f} | {low:.3f} to {high:.3f} |")
    return "\n".join(lines)
