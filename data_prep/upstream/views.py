"""The words for views that may be taken from a header into a data set."""

import re

# Whoever fills in a header by hand may write anything into it, a name among it.
_WORDS = frozenset(
    ("AP", "PA", "LL", "RL", "LLD", "RLD", "LLO", "RLO", "LAT", "LATERAL", "LEFT", "RIGHT", "L", "R", "OBL", "OBLIQUE")
    + ("AND", "SUPINE", "ERECT", "UPRIGHT", "SITTING", "STANDING", "PRONE", "PORTABLE", "CHEST", "DECUBITUS")
    + ("LORDOTIC", "SEMI")
)
_SIDE_WORDS = frozenset(("LL", "RL"))


def known_view(text: str) -> str:
    """Return a view that a header states, if it consists of words for views; else "LATERAL" where it says so, or ""."""
    words = re.findall(r"[^\W_]+", text.upper())
    if _WORDS.issuperset(words):
        return text
    return "LATERAL" if any(word in _SIDE_WORDS or word.startswith("LAT") for word in words) else ""
