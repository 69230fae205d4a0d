"""What the names of Kermany's files tell: `person12_virus_34`, `IM-0115-0001`, `NORMAL2-IM-0115-0001-0002`.

The third release calls them `BACTERIA-1083680-0001`. Train and test are numbered by themselves, so that a number may
be two patients there; taken as one, no patient is ever in two splits.
"""

import re

_PATTERNS = [
    re.compile(r"(?P<patient>person\d+)_(?P<finding>bacteria|virus)_\d+"),
    re.compile(r"(?P<finding>NORMAL)?\d*-?(?P<patient>IM-\d+)-\d+(-\d+)?"),
    re.compile(r"(?P<finding>BACTERIA|VIRUS|NORMAL)-(?P<patient>\d+)-\d+"),
]
_LABELS = {"bacteria": "bacterial", "virus": "viral", "normal": "normal"}


def read_name(stem: str) -> tuple[str, str]:
    """Label and patient of a file's name without suffix; "" and "" where it is none of Kermany's."""
    told = next((match for pattern in _PATTERNS if (match := pattern.fullmatch(stem))), None)
    if not told:
        return "", ""
    return _LABELS[(told["finding"] or "normal").lower()], f"kermany-{told['patient']}"
