"""What the rows of an evaluation are of: origin.json, beside them."""

import json
from pathlib import Path
from typing import NamedTuple

from cxrjax import whole

_NAME = "origin.json"


class Origin(NamedTuple):
    """The data and the network of rows; what rows of an older form do not tell is blank."""

    data: str = ""  # name of the data set
    split: str = ""
    step: int | None = None  # of training, of the network


def write(folder: Path, origin: Origin) -> None:
    """Keep it in a folder of rows."""
    whole.write(folder / _NAME, (json.dumps(origin._asdict(), indent=2) + "\n").encode())


def read(folder: Path) -> Origin:
    """What `write` wrote; all blank where it has not been."""
    path = folder / _NAME
    return Origin(**json.loads(path.read_text())) if path.exists() else Origin()
