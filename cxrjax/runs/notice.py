"""Notice of a run, RUN/notice.json: sentences that accompany every prediction, such as that it is a demonstration.

{"notice": "..."}. A run has none until someone writes the file.
"""

from pathlib import Path

from cxrjax.io import json_file

NAME = "notice.json"
_REMEDY = "write it again, or remove it"


def load(workdir: Path) -> str:
    """Return the notice of a run; "" where there is none.

    Raises:
        DamagedFileError: the file has no text "notice".
    """
    path = workdir / NAME
    if not path.exists():
        return ""
    text = json_file.read(path, _REMEDY).get("notice")
    if not isinstance(text, str):
        raise json_file.DamagedFileError(path, 'it has no text "notice"', _REMEDY)
    return text
