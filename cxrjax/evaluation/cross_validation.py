"""Cross-validation: one training for each fold of a data set prepared with `--folds=K`, folds drawn by patient.

Run k, in WORKDIR/foldK, is tested on fold k, validated on the next one, and trained on the others. Its scores are those
of `--mode=evaluate`; WORKDIR/cross_validation.json has them pooled.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from scipy.special import stdtrit

from cxrjax.data import dataset, tfds_store
from cxrjax.evaluation import evaluate
from cxrjax.io import json_file
from cxrjax.metrics.confidence import COUNTS
from cxrjax.runs import run_dir
from cxrjax.runtime import atomic_files
from cxrjax.training import trainer

_REMEDY = "remove it, and evaluate the fold again"


def cross_validate(config: ConfigDict, workdir: Path) -> dict[str, Any]:
    """Train and evaluate each fold, or go on where that was stopped.

    Args:
        config: see `configs/base.py`; `data.train` and `data.validation` are chosen here.
        workdir: the folder of the folds' run directories.

    Returns:
        {"folds": names, "scores": {score: {"values", "mean", "deviation", "interval"}}}; see `pool`.

    Raises:
        DatasetError: the data set has fewer than three folds.
        UnfitRun, Diverged: see there.
    """
    run_dir.create_or_resume(workdir, config)
    folds = name_folds(config.data.directory)
    scores = []
    for k, fold in enumerate(folds):
        done = workdir / fold / "evaluation" / fold / "metrics.json"
        if not done.exists():
            following = folds[(k + 1) % len(folds)]
            one = ConfigDict(config.to_dict(preserve_field_references=False))
            one.data.train = "+".join(name for name in folds if name not in (fold, following))
            one.data.validation = following
            trainer.train(one, workdir / fold)
            evaluate.evaluate_run(workdir / fold, fold)
        scores.append(flatten(json_file.read(done, _REMEDY).get("all", {})))
    pooled = {name: pool([one.get(name) for one in scores]) for name in scores[0]}
    result = {"folds": folds, "scores": pooled}
    atomic_files.atomic_write(workdir / "cross_validation.json", (json.dumps(result, indent=2) + "\n").encode())
    return result


def name_folds(directory: str) -> list[str]:
    """The folds of a prepared data set, in order.

    Raises:
        DatasetError: there are fewer than three, one each to train, to validate and to test.
    """
    folds = [name for name in tfds_store.list_splits(directory) if re.fullmatch(r"fold\d+", name)]
    if len(folds) < 3:
        raise dataset.DatasetError(f"{directory}: has {len(folds)} folds; prepare it with --folds=K, K at least 3")
    return sorted(folds, key=lambda name: int(name.removeprefix("fold")))


def flatten(scores: dict[str, Any], prefix: str = "") -> dict[str, float | None]:
    """Every score by its path, as "macro/f1"; counts are left out."""
    flat = {}
    for name, value in scores.items():
        if isinstance(value, dict):
            flat |= {prefix + name: value["value"]} if "value" in value else flatten(value, f"{prefix}{name}/")
        elif name not in COUNTS:
            flat[prefix + name] = value
    return flat


def pool(values: Sequence[float | None]) -> dict[str, Any]:
    """A score over the folds.

    Args:
        values: in 0..1, as all scores are; of each fold, None where it could not be earned there.

    Returns:
        The values; mean and standard deviation (n - 1) of those that are there; and the 95% interval of the mean by
        Student's t with n - 1 degrees of freedom, no further than 0 and 1. Trainings on folds share most of their data,
        so that the interval is narrower than that of independent repetitions (Bengio & Grandvalet 2004). None for what
        too few values leave undefined.
    """
    there = np.array([value for value in values if value is not None], float)
    n = len(there)
    result: dict[str, Any] = {"values": list(values), "mean": None, "deviation": None, "interval": None}
    if n:
        result["mean"] = float(there.mean())
    if n > 1:
        result["deviation"] = float(there.std(ddof=1))
        half = float(stdtrit(n - 1, 0.975)) * result["deviation"] / np.sqrt(n)
        result["interval"] = [max(result["mean"] - half, 0.0), min(result["mean"] + half, 1.0)]
    return result


def summarize(result: dict[str, Any]) -> str:
    """The pooled scores as a table in Markdown."""
    lines = [f"| {len(result['folds'])} folds | mean | standard deviation | 95% interval |", "|---|---|---|---|"]
    for name, score in result["scores"].items():
        if score["interval"] is not None:
            low, high = score["interval"]
            lines.append(f"| {name} | {score['mean']:.3f} | {score['deviation']:.3f} | {low:.3f} to {high:.3f} |")
    return "\n".join(lines)
