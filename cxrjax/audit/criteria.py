"""From which numbers on an audit says a thing. The limits are ours."""

from collections.abc import Mapping, Sequence
from typing import Any

from cxrjax.audit.metrics import HEADLINE, share_of_score

FOUND = 0.1  # share that a shortcut's interval must lie above: below, it is not worth a sentence, and a dozen intervals
# are looked at, of which one in forty lies above chance by chance
ROOM = 0.3  # share up to which the intervals may leave room, if it is to be said that no shortcut is found
DECIDED = 0.9  # recall and specificity that a class must have, by their intervals, to be told by a shortcut alone
CAUGHT = 0.5  # share of findings that a mark must turn, interval and all: most of them
TOGETHER = 0.5  # share of the pictures in which a place must be the same to be named: most of them
CARRIES = 0.1  # what hiding a place must take from the probability of a class for it to be named
KNOWN_AGAIN = 0.5  # share of its accuracy that the small network must keep in a source that it was not trained on
SEEN = 0.05  # AUROC above chance from which the network itself is said to see a label where there is no lung
BLIND = 0.2  # AUROC above chance: a leak that must be greater to be seen is said to be one that could not be
LEAK = 0.05  # AUROC above chance that every network must reach that learned shuffled labels, interval and all

Numbers = Mapping[str, Any]


def is_above(number: Numbers | None, limit: float) -> bool:
    """Whether a number lies above a limit, both ends of its interval; not where there is no number."""
    return bool(number and share_of_score(number)[0] > limit)


def is_below(number: Numbers | None, limit: float) -> bool:
    """Likewise, below it."""
    return bool(number and share_of_score(number)[1] < limit)


def is_found(control: Numbers) -> bool:
    """Whether a control reaches a part of the score that is worth a sentence."""
    return is_above(control["share"], FOUND)


def decided(control: Numbers | None) -> list[str]:
    """The classes that a control tells from all others; F1 would credit it with being frequent."""
    classes = control["classes"] if control else {}
    return [
        name for name, of in classes.items() if all(is_above(of[key], DECIDED) for key in ("recall", "specificity"))
    ]


def is_caught(mark: Numbers) -> bool:
    """Whether a planted mark turned most findings, and was found where it was put in most pictures."""
    return is_above(mark["flips"], CAUGHT) and mark["place"]["hits"] > TOGETHER


def collapses(left_out: Numbers, chance: Numbers) -> bool:
    """Whether hardly anything is recognised in a source that was left out of training."""
    now, before = left_out["scores"]["accuracy"], left_out["against"]["accuracy"]
    return is_below(now, max(KNOWN_AGAIN * before["value"], chance["accuracy"]))


def leaks(shuffled: Sequence[Numbers], chance: Numbers) -> bool:
    """Return whether every network that learned shuffled labels does better than can be."""
    return all(is_above(one["scores"][HEADLINE], chance[HEADLINE] + LEAK) for one in shuffled)


def least_leak(shuffled: Sequence[Numbers], chance: Numbers) -> float:
    """Return the AUROC above which a leak would be seen by `leaks`, by the widest of the intervals."""
    scores = [one["scores"][HEADLINE] for one in shuffled]
    return min(chance[HEADLINE] + LEAK + max(score["value"] - share_of_score(score)[0] for score in scores), 1.0)
