"""Scores with their intervals, p-values, counts and enumerations as text."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MISSING = "–"  # in place of a number that does not exist
MAX_NAME = 32  # characters of the name of a file in a caption
NAME_END = 12  # characters of either end of a longer one
_LABELS = {"covid19": "COVID-19", "covid-19": "COVID-19", "covid": "COVID-19"}


def format_label(name: str) -> str:
    """Return the name of a label as readers write it, with spaces for underscores, as "COVID-19" for "covid19"."""
    return _LABELS.get(name.lower(), name.replace("_", " "))


def format_ci(estimate: Mapping[str, Any] | float | None, spec: str = ".3f") -> str:
    """Format a score with its confidence interval.

    Args:
        estimate: {"value", "interval"}, a plain number, or None.
        spec: format specification of each number, as ".3f" or ".0%".

    Returns:
        "0.812 (0.761 to 0.858)"; "0.812" without an interval; `MISSING` without a value.
    """
    parts: Mapping[str, Any] = estimate if isinstance(estimate, Mapping) else {"value": estimate}
    value = parts["value"]
    if value is None:
        return MISSING
    interval = parts.get("interval")
    if not interval:
        return format(value, spec)
    low, high = interval
    return f"{value:{spec}} ({low:{spec}} to {high:{spec}})"


def format_p(p: float | None, symbol: str = "") -> str:
    """Format a p-value to three decimals.

    Args:
        p: the p-value in 0..1; None where the test is undefined.
        symbol: name to put before it, as "p".

    Returns:
        "0.034" or "< 0.001"; "p = 0.034" or "p < 0.001" with the symbol "p"; `MISSING` without a p-value.
    """
    if p is None:
        return MISSING
    if p < 0.001:
        return f"{symbol} < 0.001".lstrip()
    return f"{symbol} = {p:.3f}" if symbol else f"{p:.3f}"


def format_count(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, as "1 radiograph" and "2 radiographs".

    Args:
        number: how many.
        noun: in the singular.
        plural: of the noun; the noun with an s by default.
    """
    return f"{number} {pick_form(number, noun, plural or f'{noun}s')}"


def pick_form(number: int, singular: str, plural: str) -> str:
    """Return the form of a word after a number: the singular for 1, else the plural, as "is" and "are"."""
    return singular if number == 1 else plural


def describe_counts(counts: Mapping[str, Any]) -> str:
    """Return the numbers of radiographs and patients as text, and for how many radiographs the patient is unknown.

    Args:
        counts: "n", and "patients" and "without_patient" of `prediction_arrays.count_patients`; files of older versions
            lack "without_patient".
    """
    n = counts["n"]
    without = counts.get("without_patient", 0)
    if not without:
        return f"{format_count(n, 'radiograph')} of {format_count(counts['patients'], 'patient')}"
    if without == n:
        return f"{format_count(n, 'radiograph')}, patients not known"
    known = f"{format_count(n - without, 'radiograph')} of {format_count(counts['patients'] - without, 'patient')}"
    return f"{known}, and {without}, patients not known"


def lacks_patient_ids(counts: Mapping[str, Any]) -> bool:
    """Return whether no radiograph has a patient id, given the counts of `describe_counts`."""
    return counts.get("without_patient", 0) == counts["n"]


def join_words(words: Sequence[str]) -> str:
    """Join words as "a", "a and b" or "a, b and c"; an empty sequence gives ""."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def join_labels(labels: Iterable[str]) -> str:
    """Return the names of labels in words, as "normal and COVID-19"."""
    return join_words([format_label(label) for label in labels])


def interval_or_value(estimate: Mapping[str, Any]) -> list[float]:
    """Return both ends of the interval of a score {"value", "interval"}; twice its value where it has no interval."""
    return list(estimate["interval"] or [estimate["value"]] * 2)


def capitalize_first(text: str) -> str:
    """Return a text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def shorten_middle(name: str) -> str:
    """Return a name of at most MAX_NAME characters: of a longer one, both ends with an ellipsis between them."""
    return name if len(name) <= MAX_NAME else f"{name[:NAME_END]}…{name[-NAME_END:]}"
