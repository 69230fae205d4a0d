"""History of a training: the metrics of each epoch, in metrics.jsonl, and changes of settings."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxrjax.io import json_file
from cxrjax.runtime import atomic_files

METRICS = "metrics.jsonl"
CONFIG_HISTORY = "config_history.jsonl"
_REQUIRED_KEYS = ("step", "epoch")
_REMEDY = "restore it, or remove the run and train again"


def read(path: Path) -> list[dict[str, float]]:
    """Return the records of a training, without a last line that a kill cut short; none where there is no file.

    Raises:
        DamagedFileError: a line other than the last is not a record.
    """
    lines = path.read_bytes().splitlines() if path.exists() else []
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = json_file.parse(line, path, _REMEDY)
        except json_file.DamagedFileError:
            if number == len(lines):
                break
            raise json_file.DamagedFileError(path, f"line {number} is no record of an epoch", _REMEDY) from None
        if not all(_is_number(record.get(key)) for key in _REQUIRED_KEYS) or not all(map(_is_number, record.values())):
            raise json_file.DamagedFileError(path, f"line {number} is no record of an epoch", _REMEDY)
        records.append(record)
    return records


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def resume(path: Path, step: int) -> list[dict[str, float]]:
    """Return the records up to a training step, and remove later ones from the file.

    Later records are of epochs whose state a killed run could not save.
    """
    records = [record for record in read(path) if record["step"] <= step]
    if path.exists():
        atomic_files.atomic_write(path, "".join(json.dumps(record) + "\n" for record in records).encode())
    return records


def record(path: Path, metrics: dict[str, float]) -> None:
    """Append the metrics of an epoch to metrics.jsonl."""
    with path.open("a") as file:
        file.write(json.dumps(metrics) + "\n")


def count_epochs_begun(path: Path, step: int) -> int:
    """Return how many epochs have begun at a training step, by the steps per epoch of the records.

    Args:
        path: metrics.jsonl.
        step: number of steps done.
    """
    records = read(path)
    if not records:
        return min(step, 1)
    steps_per_epoch = records[0]["step"] / records[0]["epoch"]
    return math.ceil(step / steps_per_epoch)


def record_change(path: Path, step: int, changes: Mapping[str, Mapping[str, Any]]) -> None:
    """Append a change of settings, unless a killed process has just appended it.

    Args:
        path: config_history.jsonl.
        step: number of steps done under the former settings.
        changes: {key: {"former": value, "new": value}}.
    """
    line = json.dumps({"step": step, "settings": changes}) + "\n"
    former_lines = path.read_text() if path.exists() else ""
    if not former_lines.endswith(line):
        atomic_files.atomic_write(path, (former_lines + line).encode())
