"""JSON objects that a run keeps, read so that a damaged file is one sentence."""

import json
import stat
from pathlib import Path
from typing import Any

from cxrjax.runtime.text import SHORT, printable

_MOST_BYTES = 100 * 2**20


class DamagedFile(ValueError):
    """A file that is not what was written; the message names it, says why and what to do."""

    def __init__(self, path: Path, reason: str, remedy: str):
        super().__init__(f"{printable(path)}: it is damaged ({reason}); {remedy}")


def read(path: Path, remedy: str) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Args:
        path: the file.
        remedy: what the message of an error says is to be done, as "remove it and evaluate again".

    Raises:
        DamagedFile: it holds anything else.
        OSError: it cannot be read.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for
        raise DamagedFile(path, "it is no regular file", remedy)
    if found.st_size > _MOST_BYTES:
        raise DamagedFile(path, f"it is {found.st_size} bytes long", remedy)
    return parse(path.read_bytes(), path, remedy)


def parse(text: bytes, path: Path, remedy: str) -> dict[str, Any]:
    """Return the JSON object that a text of a file is; see `read`."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise DamagedFile(path, "it is nested too deeply", remedy) from None
    except ValueError as error:  # of JSON or of UTF-8
        raise DamagedFile(path, f"it is no JSON: {printable(error, SHORT)}", remedy) from None
    if not isinstance(value, dict):
        raise DamagedFile(path, "it is no JSON object", remedy)
    return value
