"""Near-duplicates: the same radiograph under two names, re-encoded, resized, brightened or cropped."""

from collections.abc import Sequence
from typing import NamedTuple

from data_prep.row import Plan, Skip


class Pair(NamedTuple):
    """Two radiographs that are the same picture."""

    one: str
    other: str
    difference: str  # "label", "split", "label and split" or "": what they do not agree in


def find(plan: Plan) -> list[Pair]:
    """Near-duplicates among all radiographs of a plan."""
    return []


def drop(plan: Plan, pairs: Sequence[Pair]) -> tuple[Plan, list[Skip]]:
    """Keeps one of each set of near-duplicates."""
    return plan, []
