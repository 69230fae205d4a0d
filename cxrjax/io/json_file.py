"""Reading of a run's JSON files, by the key names of today and with one-sentence errors for damaged files."""

import json
import stat
from pathlib import Path
from typing import Any

from cxrjax.runtime import former_names
from cxrjax.runtime.errors import CxrjaxError
from cxrjax.runtime.text import SHORT_LENGTH, printable

_MAX_BYTES = 100 * 2**20


class DamagedFileError(CxrjaxError, ValueError):
    """A file with unexpected content; the message names the file, the reason and what to do."""

    def __init__(self, path: Path, reason: str, remedy: str):
        super().__init__(f"{printable(path)}: it is damaged ({reason}); {remedy}")


def read(path: Path, remedy: str) -> dict[str, Any]:
    """Read a file that holds one JSON object; keys of an earlier version get their names of today.

    Args:
        path: the file.
        remedy: what to do about a damaged file, for the error message, as "remove it and evaluate again".

    Raises:
        DamagedFileError: the file does not contain one JSON object.
        OSError: it cannot be read.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would block
        raise DamagedFileError(path, "it is not a regular file", remedy)
    if status.st_size > _MAX_BYTES:
        raise DamagedFileError(path, f"it is {status.st_size} bytes long", remedy)
    return parse(path.read_bytes(), path, remedy)


def parse(text: bytes, path: Path, remedy: str) -> dict[str, Any]:
    """Parse the text of a file as one JSON object; see `read`."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise DamagedFileError(path, "it is nested too deeply", remedy) from None
    except ValueError as error:  # of JSON or of UTF-8
        raise DamagedFileError(path, f"it is not JSON: {printable(error, SHORT_LENGTH)}", remedy) from None
    if not isinstance(value, dict):
        raise DamagedFileError(path, "it is not a JSON object", remedy)
    return former_names.upgrade(value, path.name)
