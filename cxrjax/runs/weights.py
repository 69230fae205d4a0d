"""Import and export of a run's weights, and the initial weights of a training."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from cxrjax.config import Config
from cxrjax.config.settings import ClassifierConfig, SegmenterConfig
from cxrjax.models import from_config
from cxrjax.ops import lung_masks
from cxrjax.pretrained import formats, hub, safetensors_file, state_dict
from cxrjax.runs import run_dir, segmenter_copy
from cxrjax.runs.checkpoints import Checkpoints
from cxrjax.runtime.text import SHORT_LENGTH, enumerate_names, printable

_MAX_CLASSES_LISTED = 100  # in an error message


def import_weights(config: Config, source: str, workdir: Path) -> None:
    """Create a run directory from published weights, as if they had been trained in it.

    Args:
        config: `task` says whether the weights are those of a segmenter or a classifier; for a classifier, the trained
            segmenter that the config names, if any, is copied too.
        source: path of a file, or an address (see `pretrained.hub`).
        workdir: the run directory; must not have a trained network.

    Raises:
        WeightFormatError: the file cannot be found or read.
        WeightMismatchError: the weights do not fit the config; no run directory is created.
        RunError: the run directory has a trained network or other settings.
    """
    config = replace(config, pretrained=source)
    variables = load_init(config)
    config = segmenter_copy.copy_segmenter(workdir, config)
    run_dir.create_or_resume(workdir, config)
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        if checkpoints.step("best") is not None:
            raise run_dir.RunError(f"{workdir}: there is a trained network here already; name another --workdir")
        checkpoints.save("best", 0, jax.device_get(variables))


def export_weights(workdir: Path, target: Path) -> None:
    """Write the best network of a run as safetensors, by PyTorch's names and layouts (torchvision's, where it has it).

    The metadata of the file has the architecture, the input channels and, for a classifier, the classes in their order.
    The segmenter of a classifier's run is a run itself: RUN/segmenter.

    Raises:
        RunError: the run has no trained network.
        OSError: the file exists already, or it cannot be written.
    """
    config = run_dir.load_config(workdir)
    network = _trained_network(config)
    settings = network.settings
    variables = run_dir.load_networks(workdir, config)[network.name]
    state = state_dict.to_state_dict(settings.architecture, jax.device_get(variables))
    file_metadata = {"format": "pt", "architecture": settings.architecture, "channels": str(settings.channels)}
    if network.classes:
        file_metadata["classes"] = json.dumps(network.classes)
    safetensors_file.write(target, state, file_metadata)


def load_init(config: Config, key: Array | None = None) -> dict[str, Any]:
    """Load the weights of `config.pretrained` for the network of the config's task.

    Args:
        config: settings of a run.
        key: random key of the last layer, which is drawn where `config.pretrained_head` is "fresh", or is "auto" and
            the file's head does not fit or has other classes (see `state_dict.from_state_dict`); and of everything but
            the encoder, where the file has only the encoder of a segmenter. None: the whole file has to fit.

    Returns:
        {"params", "batch_stats"}, float32.

    Raises:
        WeightFormatError: the file cannot be found or read.
        WeightMismatchError: names or shapes differ, all of which are listed; or the file names other classes.
    """
    choice = "keep" if key is None else config.pretrained_head
    path = hub.locate(config.pretrained)
    state = formats.read_weights(path)
    if choice != "fresh":
        try:
            _check_classes(path, config)
            return _to_variables(config, state, None)
        except state_dict.WeightMismatchError:
            if choice == "keep":
                raise
    return _to_variables(config, state, key)


def _to_variables(config: Config, state: Mapping[str, np.ndarray], new_head: Array | None) -> dict[str, Any]:
    network = _trained_network(config)
    settings = network.settings
    return state_dict.from_state_dict(
        settings.architecture,
        state,
        num_classes=network.num_classes,
        head=network.head,
        new_head=new_head,
        channels=settings.channels,
        initializer=settings.initializer,
    )


def _check_classes(path: Path, config: Config) -> None:
    classes = from_config.classes(config)
    text = formats.read_metadata(path).get("classes")
    if not classes or text is None:
        return
    file_classes = _parse_names(text)
    if not file_classes:
        raise formats.WeightFormatError(path, f"its classes are not a list of names: {printable(text, SHORT_LENGTH)}")
    if file_classes != list(classes):
        raise state_dict.WeightMismatchError(
            f"{path}: its classes are {enumerate_names(file_classes, _MAX_CLASSES_LISTED)}, and those of the config "
            f"{', '.join(classes)}"
        )


def _parse_names(text: str) -> list[str] | None:
    """Return a JSON list of strings; None of any other text."""
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


class _TrainedNetwork(NamedTuple):
    """The network that a run trains."""

    name: str  # in `run_dir.load_networks`
    settings: SegmenterConfig | ClassifierConfig
    classes: tuple[str, ...]  # () for a segmenter
    num_classes: int
    head: str


def _trained_network(config: Config) -> _TrainedNetwork:
    classes = from_config.classes(config)
    if classes:
        return _TrainedNetwork("classifier", config.classifier, classes, len(classes), config.classifier.head)
    return _TrainedNetwork("segmenter", config.segmenter, (), len(lung_masks.STRUCTURES), "own")
