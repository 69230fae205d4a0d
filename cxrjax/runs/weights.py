"""Import and export of a run's weights, and the initial weights of a training."""

import json
from collections.abc import Mapping, Sequence
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
from cxrjax.pretrained import formats, hub, key_aliases, safetensors_file, state_dict
from cxrjax.runs import bundled_models, model_file, model_names, run_dir, segmenter_copy
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
    if config.task == "classify" and not (config.classifier.classes and config.classifier.thresholds):
        config = replace(config, classifier=_complete_from_source(config))
    variables = load_init(config)
    config = segmenter_copy.copy_segmenter(workdir, config)
    run_dir.create_or_resume(workdir, config)
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        if checkpoints.step("best") is not None:
            raise run_dir.RunError(f"{workdir}: there is a trained network here already; name another --workdir")
        checkpoints.save("best", 0, jax.device_get(variables))


def _complete_from_source(config: Config) -> ClassifierConfig:
    """Return the settings of a classifier with the classes and operating points of the file where they have none."""
    settings = config.classifier
    source = _load_source(config)
    classes = settings.classes or tuple(source.classes)
    if not classes:
        raise state_dict.WeightMismatchError(
            f"{source.name}: it does not name its classes; name them by --config.classifier.classes, in the order of "
            "the outputs"
        )
    return replace(settings, classes=classes, thresholds=settings.thresholds or tuple(source.thresholds))


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
        config: settings of a run; `pretrained` is a file of weights, its address, or a trained run as
            `bundled_models.find_run` takes it, whose best network of the same task is used: for a segmenter, that of a
            classifier's run is its segmenter.
        key: random key of the head, which is initialized where `config.pretrained_head` is "fresh", or is "auto" and
            the source's head does not fit or has other classes; and of everything but the encoder, where the file has
            only the encoder of a segmenter. None: all weights have to fit.

    Returns:
        {"params", "batch_stats"}, float32.

    Raises:
        WeightFormatError: the file cannot be found or read.
        WeightMismatchError: names or shapes differ, all of which are listed; the file names other classes; or the run
            has another architecture or no network of this task.
        RunError: there is no run in the folder, or it has no trained network.
    """
    choice = "keep" if key is None else config.pretrained_head
    source = _load_source(config)
    if choice != "fresh":
        try:
            _check_classes(source, config)
            return _to_variables(config, source.state, None)
        except state_dict.WeightMismatchError:
            if choice == "keep":
                raise
    return _to_variables(config, source.state, key)


class _Source(NamedTuple):
    """Weights to start from."""

    name: str  # for messages
    state: Mapping[str, np.ndarray]  # by the names of PyTorch
    classes: list[str]  # [] for a segmenter, and where they are not known
    thresholds: Sequence[float] = ()  # operating point of each class; () where they are not known


def _load_source(config: Config) -> _Source:
    name = config.pretrained
    path = Path(name)
    if name in model_names.MODELS or path.is_dir():
        return _load_run(config, bundled_models.find_run(name))
    path = hub.locate(name)
    if model_names.is_model(name) and model_file.is_model_file(path):
        return _load_run(config, bundled_models.find_run(name))
    return _load_file(config, path)


def _load_file(config: Config, path: Path) -> _Source:
    """Load the weights of a file; of a classifier, those of the outputs that `config.pretrained_outputs` names."""
    state = formats.read_weights(path)
    names = _read_classes(path)
    thresholds = key_aliases.read_operating_points(state)
    outputs = config.pretrained_outputs or [number for number, name in enumerate(names) if name]
    if config.task == "classify" and (config.pretrained_outputs or "" in names):
        state = state_dict.select_outputs(config.classifier.architecture, state, outputs)
        names = [names[number] for number in outputs] if names else []
        thresholds = [thresholds[number] for number in outputs] if thresholds else []
    return _Source(str(path), state, names, thresholds)


def _load_run(config: Config, workdir: Path) -> _Source:
    """Load the best network of a run for the task of a config."""
    source = config.pretrained
    network = _trained_network(config)
    source_config = run_dir.load_config(workdir)
    variables = run_dir.load_networks(workdir, source_config).get(network.name)
    if variables is None:
        raise state_dict.WeightMismatchError(f"{source}: this run has no {network.name}; config.pretrained names it")
    architecture = getattr(source_config, network.name).architecture
    if architecture != network.settings.architecture:
        raise state_dict.WeightMismatchError(
            f"{source}: its {network.name} is {architecture}, and that of the config {network.settings.architecture}"
        )
    state = state_dict.to_state_dict(architecture, jax.device_get(variables))
    return _Source(source, state, list(from_config.classes(source_config)) if network.classes else [])


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


def _check_classes(source: _Source, config: Config) -> None:
    classes = from_config.classes(config)
    if classes and source.classes and source.classes != list(classes):
        raise state_dict.WeightMismatchError(
            f"{source.name}: its classes are {enumerate_names(source.classes, _MAX_CLASSES_LISTED)}, and those of the "
            f"config {', '.join(classes)}"
        )


def _read_classes(path: Path) -> list[str]:
    """Return the classes that a file names, in the order of the outputs; [] where it names none.

    The name of an unused output of a whole PyTorch network may be "".
    """
    label_names = formats.read_label_names(path)
    if label_names:
        return label_names
    text = formats.read_metadata(path).get("classes")
    if text is None:
        return []
    names = _parse_names(text)
    if not names:
        raise formats.WeightFormatError(path, f"its classes are not a list of names: {printable(text, SHORT_LENGTH)}")
    return names


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
