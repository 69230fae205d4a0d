"""The record of a training: a line an epoch in metrics.jsonl, and the same for TensorBoard."""

import json
from pathlib import Path

from tensorboardX import SummaryWriter

from cxrjax import whole

METRICS = "metrics.jsonl"


def resume(path: Path, step: int) -> list[dict[str, float]]:
    """The records up to a step; those of epochs that a killed run could not save the state of are dropped."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:  # a line cut short by a kill
            break
    records = [record for record in records if record["step"] <= step]
    whole.write(path, "".join(json.dumps(record) + "\n" for record in records).encode())
    return records


def record(path: Path, epoch: dict[str, float], board: SummaryWriter) -> None:
    """Add an epoch's scores."""
    with path.open("a") as file:
        file.write(json.dumps(epoch) + "\n")
    for name, value in epoch.items():
        board.add_scalar(name, value, epoch["step"])
