"""What the rows of an evaluation are of: origin.json, beside them."""

import json
from pathlib import Path
from typing import NamedTuple

from cxrjax.io import json_file
from cxrjax.runtime import atomic_files

_NAME = "origin.json"
_REMEDY = "remove the folder, and --mode=evaluate makes it again"


class Provenance(NamedTuple):
    """The data and the network of rows; what rows of an older form do not tell is blank."""

    data: str = ""  # name of the data set
    split: str = ""
    step: int | None = None  # of training, of the network


def write(folder: Path, origin: Provenance) -> None:
    """Keep it in a folder of rows."""
    atomic_files.atomic_write(folder / _NAME, (json.dumps(origin._asdict(), indent=2) + "\n").encode())


def read(folder: Path) -> Provenance:
    """What `write` wrote; all blank where it has not been."""
    path = folder / _NAME
    if not path.exists():
        return Provenance()
    known = json_file.read(path, _REMEDY)
    origin = Provenance(*(known.get(name, default) for name, default in Provenance._field_defaults.items()))
    if not (isinstance(origin.data, str) and isinstance(origin.split, str) and isinstance(origin.step, int | None)):
        raise json_file.DamagedFile(path, "its values are of other kinds", _REMEDY)
    return origin
