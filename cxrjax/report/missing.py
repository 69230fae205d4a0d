"""Results that a report lacks, each with the command that computes it."""

import shlex
from pathlib import Path
from typing import NamedTuple

from cxrjax.report.inputs import ReportInputs
from cxrjax.runtime.formatting import format_count


class MissingResult(NamedTuple):
    """Result that was not computed, and the commands that compute it, which can be pasted into a shell."""

    name: str
    meaning: str
    commands: tuple[str, ...]


def list_missing(inputs: ReportInputs) -> list[MissingResult]:
    """Return the results that the other commands have not computed yet for this split."""
    if not inputs.classes:
        return []
    missing = []
    if (inputs.audit is None or inputs.is_audit_stale) and not inputs.is_external:
        missing.append(MissingResult("Audit for shortcuts", _describe_audit(inputs), (_command(inputs, "audit"),)))
    if not inputs.scores["calibration"]:
        meaning = "whether a probability of 0.8 is right eight times in ten"
        missing.append(MissingResult("Calibration", meaning, (_command(inputs, "evaluate"),)))
    if inputs.maps is None:
        meaning = "whether the maps are evidence for the reasons of a prediction; until then they are none"
        missing.append(
            MissingResult("Evaluation of the saliency maps", meaning, (_command(inputs, "evaluate_saliency"),))
        )
    if not inputs.has_ood_results:
        meaning = "which images are no upright frontal chest radiographs"
        commands = (format_command("fit_ood", inputs.workdir), _command(inputs, "evaluate"))
        missing.append(MissingResult("Out-of-distribution detector", meaning, commands))
    if inputs.morphometry is None:
        meaning = "sizes of hearts and lungs, and whether they differ between the classes"
        missing.append(MissingResult("Hearts and lungs", meaning, (_command(inputs, "morphometry"),)))
    return missing


def _describe_audit(inputs: ReportInputs) -> str:
    """Return the meaning of an audit, and of an unfinished one how many of its controls are missing."""
    meaning = "how much of the score can be reached without seeing a lung"
    if inputs.audit_progress is None:
        return meaning
    missing = format_count(len(inputs.audit_progress.missing), "control")
    return f"{meaning}; {missing} of {inputs.audit_progress.total} are missing, and the command continues with them"


def audit_command(inputs: ReportInputs) -> str:
    """Return the command that audits the run on the split."""
    return _command(inputs, "audit")


def report_command(inputs: ReportInputs) -> str:
    """Return the command that writes the report again."""
    return _command(inputs, "report")


def format_command(mode: str, workdir: Path, **flags: str) -> str:
    """Return a command on a run, quoted for a shell, with flags other than "--workdir"."""
    words = [f"--{name}={shlex.quote(value)}" for name, value in {"workdir": str(workdir), **flags}.items()]
    return " ".join(["cxrjax", mode, *words])


def _command(inputs: ReportInputs, mode: str) -> str:
    other_data = {"dataset": inputs.directory} if inputs.is_external else {}
    return format_command(mode, inputs.workdir, split=inputs.split, **other_data)
