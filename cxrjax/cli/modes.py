"""Modes of the command line: the function of each, its flags and checks."""

from collections.abc import Callable
from typing import NamedTuple

from cxrjax.cli import commands, receive


class Mode(NamedTuple):
    """A mode of the command line."""

    command: Callable[[commands.Request], int | None]  # returns the exit status, None for 0
    required: tuple[str, ...] = ()  # flags, beside --workdir, or --model where that is optional
    optional: tuple[str, ...] = ()  # flags; all others are refused
    check: Callable[[commands.Request], None] | None = None  # raises a ValueError before any network is imported
    writes_run: bool = False  # whether it creates the run directory
    is_inference: bool = False  # whether it trains nothing and processes many radiographs
    after_signal: str = "all written files are complete, and the same command starts again"


_RESUMES = "the same command resumes from there"
_MULTIHOST_FLAGS = ("coordinator_address", "distributed", "num_processes", "process_id")
MODES = {
    "train": Mode(commands.train_network, ("config",), _MULTIHOST_FLAGS, writes_run=True, after_signal=_RESUMES),
    "evaluate": Mode(
        commands.evaluate_run,
        (),
        ("split", "dataset", *_MULTIHOST_FLAGS),
        check=commands.check_own_dataset,
        is_inference=True,
    ),
    "rescore": Mode(commands.rescore_run, (), ("split", "dataset")),
    "compare_runs": Mode(commands.compare_runs, ("baseline",), ("split", "dataset")),
    "audit": Mode(commands.audit_run, (), ("split", "config"), check=commands.check_own_dataset, after_signal=_RESUMES),
    "evaluate_saliency": Mode(
        commands.evaluate_saliency,
        (),
        ("split", "dataset", "lesion_csv"),
        check=commands.check_own_dataset,
        is_inference=True,
    ),
    "morphometry": Mode(commands.measure_morphometry, (), ("split", "dataset"), check=commands.check_own_dataset),
    "fit_ood": Mode(commands.fit_ood_detector, is_inference=True),
    "report": Mode(commands.write_report, (), ("split", "dataset")),
    "predict": Mode(
        commands.predict_radiographs,
        ("input", "output"),
        (
            *("model", "calibrated", "reject_ood", "save", "deidentify", "label", "value_range", "if_inverted"),
            *("num_processes", "process_id"),
        ),
        check=commands.check_prediction,
        is_inference=True,
        after_signal=_RESUMES,
    ),
    "serve": Mode(
        commands.serve_model,
        (),
        ("model", "calibrated", "host", "port"),
        check=commands.check_serve_packages,
        is_inference=True,
        after_signal="predictions that were not downloaded are gone",
    ),
    "receive": Mode(
        receive.receive_radiographs,
        ("output",),
        (
            *("model", "calibrated", "reject_ood", "if_inverted"),
            *("host", "port", "aet", "send_to", "allow_aet", "allow_address"),
        ),
        check=receive.check_packages,
        is_inference=True,
        after_signal="the same command goes on with what was received",
    ),
    "lr_find": Mode(commands.find_learning_rate, ("config",), writes_run=True),
    "cross_validate": Mode(commands.cross_validate_network, ("config",), writes_run=True, after_signal=_RESUMES),
    "import": Mode(commands.import_weights, ("input",), ("config",), writes_run=True),
    "export": Mode(commands.export_weights, ("output",), ("model",)),
    "retrain_last_layer": Mode(commands.retrain_last_layer, ("output",), is_inference=True),
}
