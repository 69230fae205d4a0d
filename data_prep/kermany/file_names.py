"""Parse the names of Kermany's files: `person12_virus_34`, `IM-0115-0001`, `NORMAL2-IM-0115-0001-0002`.

The third release writes `BACTERIA-1083680-0001`. Train and test are numbered independently, so a number may belong to
two patients; treating them as one patient keeps every patient in one split.
"""

import re

_PATTERNS = [
    re.compile(r"(?P<patient>person\d+)_(?P<finding>bacteria|virus)_\d+"),
    re.compile(r"(?P<finding>NORMAL)?\d*-?(?P<patient>IM-\d+)-\d+(-\d+)?"),
    re.compile(r"(?P<finding>BACTERIA|VIRUS|NORMAL)-(?P<patient>\d+)-\d+"),
]
_LABELS = {"bacteria": "bacterial", "virus": "viral", "normal": "normal"}


def read_name(stem: str) -> tuple[str, str]:
    """Return the label and the patient of a file name without suffix; "" and "" if it is not Kermany's."""
    for pattern in _PATTERNS:
        if match := pattern.fullmatch(stem):
            return _LABELS[(match["finding"] or "normal").lower()], f"kermany-{match['patient']}"
    return "", ""
