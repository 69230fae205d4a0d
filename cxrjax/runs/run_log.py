"""Record of how a run was made: the start of each process that trained it, and its progress.

starts.jsonl   one line per start: time, command line, versions of the software, git commit, hardware
log.txt        the same and the metrics of every epoch, one line each, with the time
"""

import json
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from cxrjax.runtime import software, terminal
from cxrjax.runtime.formatting import format_count, pick_form
from cxrjax.runtime.text import printable

STARTS = "starts.jsonl"
LOG = "log.txt"


def record_start(workdir: Path, step: int) -> None:
    """Append this process to starts.jsonl and log.txt.

    Args:
        workdir: the run directory.
        step: training step that the process starts from.
    """
    versions = software.versions()
    start = {
        "time": _now(),
        "step": step,
        "command": shlex.join(sys.orig_argv),
        "versions": versions,
        "commit": software.commit(),
        "hardware": software.hardware(),
    }
    with (workdir / STARTS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(start) + "\n")
    commit = f", commit {start['commit']}" if start["commit"] else ""
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    append(workdir, f"started at step {step}: {start['command']} ({packages}{commit}; {start['hardware']})")


def append(workdir: Path, sentence: str) -> None:
    """Append a line with the time to log.txt."""
    with (workdir / LOG).open("a", encoding="utf-8") as file:
        file.write(f"{_now()} {printable(sentence)}\n")


def announce(workdir: Path, sentence: str) -> None:
    """Print a sentence on standard error, and append it to log.txt."""
    append(workdir, sentence)
    terminal.print_line(sentence, sys.stderr)


def announce_early_stop(workdir: Path, epoch: int, epochs_since_best: int) -> None:
    """Print and log that a training stopped early, and how it can be resumed.

    Args:
        workdir: the run directory.
        epoch: the last epoch.
        epochs_since_best: number of epochs that were not better than the best.
    """
    sentence = (
        f"stopped early after epoch {epoch}, since {format_count(epochs_since_best, 'epoch')} "
        f"{pick_form(epochs_since_best, 'was', 'were')} not better than the best; a larger training.patience resumes "
        "the training"
    )
    announce(workdir, sentence)


def format_epoch(record: Mapping[str, float], epochs: int) -> str:
    """Return the metrics of an epoch as one line.

    Args:
        record: line of metrics.jsonl.
        epochs: number of epochs of the training.

    Returns:
        For example "epoch 3 of 14: train/loss 0.1234, val/jaccard 0.9506".
    """
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in record.items() if "/" in name)
    return f"epoch {int(record['epoch'])} of {epochs}: {metrics}"


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S%z")
