"""Metrics of a training: one line per epoch in metrics.jsonl, and the same for TensorBoard."""

import json
from pathlib import Path

from tensorboardX import SummaryWriter

from cxrjax.io import json_file
from cxrjax.runtime import atomic_files

METRICS = "metrics.jsonl"
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


def record(path: Path, metrics: dict[str, float], writer: SummaryWriter) -> None:
    """Append the metrics of an epoch to metrics.jsonl and to TensorBoard."""
    with path.open("a") as file:
        file.write(json.dumps(metrics) + "\n")
    for name, value in metrics.items():
        writer.add_scalar(name, value, int(metrics["step"]))
