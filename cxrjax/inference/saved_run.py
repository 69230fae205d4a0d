"""Copies of a run with what prediction needs, as a directory or as one file."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import jax

from cxrjax.inference.loaded_run import LoadedRun
from cxrjax.runs import model_file, notice, run_dir
from cxrjax.runs.checkpoints import Checkpoints, snapshot_tag
from cxrjax.runs.model_names import SUFFIX
from cxrjax.runtime import atomic_files, former_names

# Of values that were fitted to the parameters, or measured with them.
_FITTED_FILES = ("calibration.json", run_dir.OOD_DETECTOR, "ood_detector.json", *model_file.AUDITS)
_FILES = ("training_labels.json", notice.NAME)


def save(source: Path, run: LoadedRun, target: Path, *, is_modified: bool, dtype: str = "float32") -> None:
    """Write a run directory, or a model file where the name ends in its suffix; see `cxrjax.Model.save`.

    Args:
        source: the run directory that the run was loaded from.
        run: with the parameters to write.
        target: absent, or an empty folder.
        is_modified: whether the parameters are others than those in `source`.
        dtype: type of the parameters in a model file.
    """
    if target.suffix == SUFFIX:
        with tempfile.TemporaryDirectory() as folder:
            workdir = Path(folder, "run")
            _save_run(source, run, workdir, is_modified=is_modified)
            model_file.pack(workdir, target, dtype)
    elif dtype != "float32":
        raise ValueError(f"{target}: a run directory has float32 parameters; {dtype} is of a {SUFFIX} file")
    else:
        _save_run(source, run, target, is_modified=is_modified)


def _save_run(source: Path, run: LoadedRun, target: Path, *, is_modified: bool) -> None:
    with atomic_files.atomic_dir(target) as folder:
        run_dir.create_or_resume(folder, run.config)
        for name in _FILES if is_modified else (*_FILES, *_FITTED_FILES):
            path = former_names.find(source, name)
            if path.exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, folder / name)
        segmenter = run.variables["segmenter"]
        if run.spec.classifier is None:
            _save_networks(folder, {"best": segmenter}, run.step)
            return
        _save_networks(folder, _members(run), run.step)
        if segmenter is not None:
            (folder / run_dir.SEGMENTER).mkdir()
            segmenter_run = source / run_dir.SEGMENTER
            shutil.copy(segmenter_run / run_dir.CONFIG, folder / run_dir.SEGMENTER)
            step = run_dir.load_step(segmenter_run, run_dir.load_config(segmenter_run))
            _save_networks(folder / run_dir.SEGMENTER, {"best": segmenter}, step)


def _members(run: LoadedRun) -> dict[str, Any]:
    """Return the classifiers by the tags of their checkpoints; of an ensemble, the newest member is also the best."""
    classifier = run.variables["classifier"]
    count = run.spec.num_members
    if count == 1:
        return {"best": classifier}
    members = [jax.tree.map(lambda leaf, k=k: leaf[k], classifier) for k in range(count)]
    return {"best": members[-1]} | {snapshot_tag(k + 1): member for k, member in enumerate(members)}


def _save_networks(folder: Path, variables_by_tag: dict[str, Any], step: int) -> None:
    with Checkpoints(folder / "checkpoints") as checkpoints:
        for tag, variables in variables_by_tag.items():
            checkpoints.save(tag, step, jax.device_get(variables))
