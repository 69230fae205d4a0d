"""Findings of a radiograph: what is known of each, as a table of positive, negative, uncertain and unknown.

A radiograph may have several findings at once. `Findings` maps the name of each finding to a number:

1          positive
0          negative
0 to 1     soft label, such as the fraction of the readers who saw the finding
-1         uncertain (`UNCERTAIN`, the code of CheXpert and MIMIC-CXR): it was considered and neither confirmed nor
           excluded
absent     unknown: nobody looked for it, or nobody wrote it down

A prepared data set stores the mapping as JSON (`encode`). Arrays of n radiographs and k findings, in the order of
`classifier.classes`, are float32 [n, k] with the same numbers and NaN where a finding is unknown (`to_targets`).
"""

import json
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float32

POSITIVE = 1.0
NEGATIVE = 0.0
UNCERTAIN = -1.0
UNKNOWN = float("nan")
PRESENT = 0.5  # soft label from which on a finding is present: half of the readers saw it
NO_FINDING = "no finding"  # label of a radiograph without a positive finding
SEPARATOR = "|"  # between the positive findings of a label, as in NIH ChestX-ray14

Findings = Mapping[str, float]
LabelMap = Sequence[tuple[str, str]]  # (name, new name) of labels or findings that are renamed or merged


def encode(findings: Findings) -> str:
    """Return findings as JSON text, such as '{"Effusion": 1, "Edema": -1}'.

    Raises:
        ValueError: a name is empty or has a `SEPARATOR`, or a value is neither in 0..1 nor `UNCERTAIN`.
    """
    for name, value in findings.items():
        if not name or SEPARATOR in name:
            raise ValueError(f"the name of a finding is {name!r}; it should be a text without {SEPARATOR!r}")
        if not _is_valid(value):
            raise ValueError(f"the finding {name!r} is {value}; it should be a number from 0 to 1, or -1 if uncertain")
    values = {name: int(value) if float(value).is_integer() else float(value) for name, value in findings.items()}
    return json.dumps(values, ensure_ascii=False)


def decode(text: str) -> dict[str, float]:
    """Return the findings of a text of `encode`; {} for "".

    Raises:
        ValueError: the text is not one that `encode` returns.
    """
    content = json.loads(text or "{}")
    if not isinstance(content, dict) or not all(map(_is_valid, content.values())):
        raise ValueError("findings are not stored as names with numbers from 0 to 1, or -1")
    return {name: float(value) for name, value in content.items()}


def from_label(label: str) -> dict[str, float]:
    """Return the positive findings that a label names, such as "Atelectasis|Effusion"; {} for "" and NO_FINDING."""
    names = [name.strip() for name in label.split(SEPARATOR)]
    return {name: POSITIVE for name in names if name and name != NO_FINDING}


def format_label(findings: Findings) -> str:
    """Return the positive findings as one label, such as "Atelectasis|Effusion".

    Returns:
        The names with a value of at least 0.5, in their order; NO_FINDING if none has, and "" if nothing is known.
    """
    positive = [name for name, value in findings.items() if value >= PRESENT]
    if positive:
        return SEPARATOR.join(positive)
    return NO_FINDING if findings else ""


def rename(findings: Findings, label_map: LabelMap) -> dict[str, float]:
    """Return findings under the names of `data.label_map`; findings of equal names are merged.

    A merged finding is positive if one of its parts is (the highest value counts), otherwise uncertain if one is,
    otherwise unknown if one is, otherwise negative. Its parts are the findings that `label_map` names, and the one
    that already has the new name, if the radiograph has it.

    Examples:
        >>> rename({"viral": 0.0, "covid19": 1.0}, [("covid19", "viral")])
        {'viral': 1.0}
        >>> rename({"viral": 0.0}, [("covid19", "viral")])
        {}
    """
    new_names = dict(label_map)
    parts: dict[str, list[float]] = {}
    for name, value in findings.items():
        parts.setdefault(new_names.get(name, name), []).append(value)
    for name, new_name in new_names.items():
        if new_name in parts and name not in findings:
            parts[new_name].append(UNKNOWN)
    merged = {name: _merge(values) for name, values in parts.items()}
    return {name: value for name, value in merged.items() if not np.isnan(value)}


def to_targets(
    rows: Iterable[Findings], classes: Sequence[str], missing: float = UNKNOWN
) -> Float32[np.ndarray, "n k"]:
    """Return the table of the named findings: 0..1, UNCERTAIN, or `missing` where a row does not have a finding."""
    table = [[row.get(name, missing) for name in classes] for row in rows]
    return np.array(table, np.float32).reshape(-1, len(classes))


def from_targets(targets: Float32[np.ndarray, "k"], classes: Sequence[str]) -> dict[str, float]:
    """Return a row of `to_targets` as findings by name."""
    return {name: float(value) for name, value in zip(classes, targets, strict=True) if not np.isnan(value)}


def is_known(targets: Float32[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
    """Return where targets are certain: neither unknown nor uncertain."""
    return targets >= 0  # False for NaN


def is_present(targets: Float32[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
    """Return where findings are known to be present."""
    return targets >= PRESENT  # False for NaN


def is_absent(targets: Float32[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
    """Return where findings are known to be absent."""
    return is_known(targets) & ~is_present(targets)


def _merge(values: Sequence[float]) -> float:
    if max((value for value in values if value > 0), default=0):
        return max(value for value in values if value > 0)
    if UNCERTAIN in values:
        return UNCERTAIN
    return UNKNOWN if np.isnan(values).any() else NEGATIVE


def _is_valid(value: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and (0 <= value <= 1 or value == UNCERTAIN)
