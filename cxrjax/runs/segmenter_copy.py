"""Copy of a trained segmenter in the run of a classifier that uses its lungs."""

import shutil
from dataclasses import replace
from pathlib import Path

from cxrjax.config import Config
from cxrjax.models import from_config
from cxrjax.runs import bundled_models, run_dir

_IMAGE_KEYS = ("gamma", "equalize", "borders")  # in which a classifier and its segmenter have to agree


def copy_segmenter(workdir: Path, config: Config) -> Config:
    """Copy the segmenter of a classifier's config into its run; return the config with the segmenter's architecture.

    `config.segmenter.workdir` names a run, or a model as `bundled_models.find_run` takes it. The config
    of a segmenter stays as it is. A classifier of whole radiographs that are not masked may have no segmenter
    (`InferenceConfig.requires_segmentation`).

    Raises:
        RunError: the config names no segmenter, and the classifier needs lungs; the segmenter's run has no trained
            network, or its radiographs were standardized differently; or RUN/segmenter is a folder of another kind.
        WeightFormatError: the model cannot be read.
    """
    if config.task != "classify":
        return config
    if not config.segmenter.workdir:
        if from_config.inference_config(config, config.patches.count).requires_segmentation:
            raise run_dir.RunError("config.segmenter.workdir is empty: name the run that trained the segmenter")
        return config
    target = workdir / run_dir.SEGMENTER
    # Without config.json the run was rejected or killed before its start, and its copy may be that of another
    # segmenter.
    has_copy = target.exists() and (workdir / "config.json").exists()
    source = target if has_copy else bundled_models.find_run(config.segmenter.workdir)
    trained = run_dir.load_config(source)
    for key in _IMAGE_KEYS:
        value = getattr(trained.image, key)
        requested = getattr(config.image, key)
        if value != requested:
            raise run_dir.RunError(
                f"{config.segmenter.workdir}: its segmenter was trained with image.{key}={value}, not {requested}"
            )
    if source != target:
        if target.exists() and not ((target / run_dir.CONFIG).exists() and (target / "checkpoints").exists()):
            raise run_dir.RunError(f"{target}: this folder is not of a run; {run_dir.OTHER_FOLDER}")
        best = run_dir.find_checkpoints(source) / "best"
        partial = workdir / f"{run_dir.SEGMENTER}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        (partial / "checkpoints").mkdir(parents=True)
        shutil.copy(source / "config.json", partial)
        shutil.copytree(best, partial / "checkpoints" / "best")
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    architecture = {key: getattr(trained.segmenter, key) for key in run_dir.SEGMENTER_KEYS}
    return replace(config, segmenter=replace(config.segmenter, **architecture))
