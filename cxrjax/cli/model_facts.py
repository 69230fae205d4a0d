"""Facts of a model that a command line is checked by, read without importing any network."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from cxrjax.io import json_file
from cxrjax.runs import model_names
from cxrjax.runtime import former_names


class ModelFacts(NamedTuple):
    """Facts of a model.

    Attributes:
        classes: of its classifier; () if it is a segmenter.
        has_ood_detector: whether an out-of-distribution detector was fitted to it.
    """

    classes: tuple[str, ...]
    has_ood_detector: bool


def read(workdir: Path, model: str) -> ModelFacts | None:
    """Return the facts of a run directory or a model; None where only loading it gives them (an address, an old run).

    Args:
        workdir: the run directory, if `model` is "".
        model: name, file or address of a model, or a run directory.

    Raises:
        DamagedFileError: the config of the run is damaged.
    """
    if model_names.is_model(model):
        path = model_names.FOLDER / f"{model}{model_names.SUFFIX}" if model in model_names.MODELS else Path(model)
        return _read_file(path) if path.exists() else None
    workdir = Path(model) if model else workdir
    config = json_file.read(workdir / "config.json", "use another run")
    return _from_config(config, former_names.find(workdir, "ood_detector.npz").exists())


def _read_file(path: Path) -> ModelFacts | None:
    from cxrjax.pretrained import safetensors_header

    try:
        metadata = safetensors_header.read_metadata(path)
        config = json.loads(metadata.get("config.json", "null"))
    except Exception:  # loading the model says what is wrong with it
        return None
    return _from_config(config, "ood_detector.json" in metadata)


def _from_config(config: Any, has_ood_detector: bool) -> ModelFacts | None:
    if not isinstance(config, dict):
        return None
    if config.get("task") == "segment":
        return ModelFacts((), has_ood_detector)
    classifier = config.get("classifier")
    classes = classifier.get("classes") if isinstance(classifier, dict) else None
    if not isinstance(classes, list) or not classes:
        return None
    return ModelFacts(tuple(map(str, classes)), has_ood_detector)
