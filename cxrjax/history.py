"""The record of a training: a line an epoch in metrics.jsonl, and the same for TensorBoard."""

import json
from pathlib import Path

from tensorboardX import SummaryWriter

from cxrjax import whole

METRICS = "metrics.jsonl"


def read(path: Path) -> list[dict[str, float]]:
    """The records of a training, without a line that a kill cut short; none where there is no file."""
    records = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def resume(path: Path, step: int) -> list[dict[str, float]]:
    """The records up to a step; those of epochs that a killed run could not save the state of are dropped."""
    records = [record for record in read(path) if record["step"] <= step]
    if path.exists():
        whole.write(path, "".join(json.dumps(record) + "\n" for record in records).encode())
    return records


def record(path: Path, epoch: dict[str, float], board: SummaryWriter) -> None:
    """Add an epoch's scores."""
    with path.open("a") as file:
        file.write(json.dumps(epoch) + "\n")
    for name, value in epoch.items():
        board.add_scalar(name, value, epoch["step"])
