"""The networks of a run directory and everything that was fitted to them, in memory."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax

from cxrjax.config import Config
from cxrjax.inference import ensemble, ood, ood_store
from cxrjax.inference.functional import PipelineSpec
from cxrjax.runs import calibration, model_info, notice, run_dir
from cxrjax.runs.model_info import ModelInfo
from cxrjax.runtime import terminal


class Fitted(NamedTuple):
    """Values that were fitted to the weights of a classifier after its training, and do not fit other weights."""

    # of the probabilities; 1 leaves them as they are; of several findings {finding: temperature}
    temperature: float | Mapping[str, float] = 1.0
    min_confidence: float | None = None  # below it a label is undecided; None where none was chosen
    ood_detector: ood.OODDetector | None = None
    # probability before `temperature` from which on each of several findings is predicted; findings without one are
    # decided at 0.5
    decision_thresholds: Mapping[str, float] = MappingProxyType({})


class LoadedRun(NamedTuple):
    """A trained run in memory."""

    config: Config
    step: int  # training step of the networks
    spec: PipelineSpec
    variables: Mapping[str, Any]  # {"segmenter": ..., "classifier": ...}, arrays on the host
    fitted: Fitted = Fitted()
    notice: str = ""  # sentences that accompany every prediction, see `cxrjax.runs.notice`

    def describe(self) -> ModelInfo:
        """Return the identity of the model; hashing its weights takes about 0.1 s."""
        return model_info.describe(self.config, self.step, self.variables, self.fitted.temperature)


def load_run(
    workdir: Path, *, calibrated: bool = False, use_ood_detector: bool = True, ensemble_size: int | None = None
) -> LoadedRun:
    """Load the best networks of a run.

    Args:
        workdir: run directory.
        calibrated: whether probabilities are scaled by the run's temperature.
        use_ood_detector: whether the run's OOD detector, if it has one, is loaded.
        ensemble_size: number of the last snapshots that vote together, 1 for the best network alone; None for the
            number in the run's config. With another number than that, there is no OOD detector and no threshold of the
            confidence, since both were fitted to the networks of the config.

    Raises:
        RunError: there is no run, nothing was trained in it yet, it has no temperature, its OOD detector was fitted to
            another network, or it has no such ensemble.
        ValueError: the temperature belongs to another network.
    """
    config = run_dir.load_config(workdir)
    is_own_ensemble = ensemble_size in (None, config.evaluation.ensemble_size)
    if ensemble_size is not None:
        config = replace(config, evaluation=replace(config.evaluation, ensemble_size=ensemble_size))
    spec = PipelineSpec.from_config(config)
    if spec.num_members < 1:
        raise run_dir.RunError(f"{workdir}: an ensemble of {spec.num_members} networks is requested; 1 is the least")
    if spec.classifier is None and spec.num_members > 1:
        raise run_dir.RunError(
            f"{workdir}: an ensemble of {spec.num_members} networks is requested, but only classifiers vote together"
        )
    if calibrated and not is_own_ensemble:
        raise run_dir.RunError(
            f"{workdir}: its temperature was not fitted to an ensemble of {spec.num_members}; leave out ensemble_size, "
            "or calibrated"
        )
    step = run_dir.load_step(workdir, config)
    stored_calibration = calibration.load(workdir, step) if calibrated else {"temperature": 1.0}
    if stored_calibration is None:
        raise run_dir.RunError(
            f"{workdir}: there is no calibration.json with a temperature; evaluating a classifier writes one"
        )
    if calibrated and (doubt := calibration.reliability_warning(stored_calibration)):
        terminal.warn(doubt)
    fitted = Fitted(temperature=stored_calibration["temperature"])
    if spec.classifier is not None and is_own_ensemble:
        fitted = fitted._replace(
            min_confidence=calibration.load_min_confidence(workdir, step),
            ood_detector=ood_store.load(workdir, step) if use_ood_detector else None,
            decision_thresholds=calibration.load_decision_thresholds(workdir, step)
            if config.classifier.targets == "multi"
            else {},
        )
    variables = load_variables(workdir, config, spec.num_members)
    return LoadedRun(config, step, spec, variables, fitted, notice.load(workdir))


def load_variables(workdir: Path, config: Config, num_members: int) -> dict[str, Any]:
    """Return the weights of a run's networks on the host; of an ensemble, the classifiers along a first axis.

    Raises:
        RunError: the run has no trained network yet, or too few snapshots.
    """
    variables = jax.device_get(run_dir.load_networks(workdir, config))
    if num_members > 1:
        variables["classifier"] = ensemble.load(workdir, num_members)
    return variables
