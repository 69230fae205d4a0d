"""Assign patients to splits so that each of several findings has the same share everywhere.

Iterative stratification (Sechidis, Tsoumakas & Vlahavas 2011), by the package iterative-stratification: the rarest
finding is divided first.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from data_prep.record import PreparationError, Record


def stratify(patients: Mapping[str, Sequence[Record]], ratios: Mapping[str, float], seed: int) -> dict[str, str]:
    """Assign every patient to a split.

    Args:
        patients: patient -> radiographs, whose `findings` and sources are divided: a patient has a finding if one of
            the radiographs is positive for it.
        ratios: split name -> fraction of the patients; they sum to 1.
        seed: seed of the order of patients, and of ties.

    Returns:
        Patient -> split; it does not depend on the order of `patients`.

    Raises:
        PreparationError: the package iterative-stratification is not installed.
    """
    splits = [split for split, ratio in ratios.items() if ratio]
    if len(splits) == 1:
        return dict.fromkeys(patients, splits[0])
    try:
        from iterstrat.ml_stratifiers import IterativeStratification
    except ImportError as error:
        raise PreparationError(
            "splits with the same share of several findings need the package iterative-stratification: pip install "
            "'cxrjax[multilabel]'; or give fixed splits with --split_csv"
        ) from error
    names = sorted(patients)
    rng = np.random.RandomState(seed % 2**32)
    rng.shuffle(names)
    groups = [_groups(patients[name]) for name in names]
    columns = sorted(set().union(*groups))
    table = np.array([[column in group for column in columns] for group in groups], bool)
    shares = np.array([ratios[split] for split in splits])
    assigned = IterativeStratification(labels=table, r=shares, random_state=rng)
    return {name: splits[index] for name, index in zip(names, assigned, strict=True)}


def _groups(records: Sequence[Record]) -> set[tuple[str, str]]:
    positive = {("finding", name) for record in records for name, value in record.findings.items() if value >= 0.5}
    return positive | {("source", record.source) for record in records}
