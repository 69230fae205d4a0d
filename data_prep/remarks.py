"""Warnings about the content of a data set, printed when it is prepared, before a training fails."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cxrjax.io import findings
from cxrjax.runtime.formatting import format_count
from data_prep.collections.patients import STUDY, is_pseudonym
from data_prep.record import Record

FEW_PATIENTS = 10
FEW_VALIDATION = 30  # radiographs


def count_patients(records: Iterable[Record]) -> dict[str, int]:
    """Count the known patients of some radiographs.

    Returns:
        "radiographs": all; "patients": known patients; "by_study": radiographs of which only the study is known;
        "without": radiographs of which neither patient nor study is known.
    """
    records = list(records)
    by_study = sum(is_pseudonym(record.patient_id, STUDY) for record in records)
    without = sum(not record.patient_id for record in records)
    patients = {
        record.patient_id for record in records if record.patient_id and not is_pseudonym(record.patient_id, STUDY)
    }
    return {"radiographs": len(records), "patients": len(patients), "by_study": by_study, "without": without}


def count_findings(records: Sequence[Record]) -> dict[str, dict[str, int]]:
    """Count what is known of each finding: finding -> {"positive", "negative", "uncertain", "unknown"}.

    A soft label of at least 0.5 is positive. Findings are in the order in which the radiographs name them.
    """
    counts = {}
    for name in dict.fromkeys(name for record in records for name in record.findings):
        values = [record.findings[name] for record in records if name in record.findings]
        counts[name] = {
            "positive": sum(value >= 0.5 for value in values),
            "negative": sum(0 <= value < 0.5 for value in values),
            "uncertain": values.count(findings.UNCERTAIN),
            "unknown": len(records) - len(values),
        }
    return counts


def sum_patients(report: Mapping[str, Any]) -> Counter[str]:
    """Return the counts of `count_patients`, summed over the splits of a report."""
    return sum((Counter(split) for split in report["patients_known"].values()), Counter())


def describe(report: Mapping[str, Any], expected_splits: Sequence[str]) -> list[str]:
    """Return sentences about problems for training or evaluation, the one about unknown patients last.

    Args:
        report: "counts", "patients_known" and, of several findings, "findings" of a preparation.
        expected_splits: splits that should not be empty if there is a split train.
    """
    counts = report["counts"]
    if "findings" in report:
        counts = {
            split: {name: values["positive"] for name, values in by_name.items()}
            for split, by_name in report["findings"].items()
        }
    remarks = []
    if "train" in counts:
        missing = [split for split in expected_splits if split not in counts]
        remarks += [f"no radiograph is in the split {split}{_PURPOSES.get(split, '')}" for split in missing]
    label_counts = sum((Counter(labels) for labels in counts.values()), Counter())
    single = sorted(label for label, count in label_counts.items() if label and count == 1)
    if single:
        remarks.append(
            f"labels of a single radiograph, which cannot be in both training and test data: {', '.join(single)}"
        )
    if "train" in counts:
        untrained = sorted(
            label for label in label_counts if label and not counts["train"].get(label) and label not in single
        )
        if untrained:
            remarks.append(f"no radiograph of train has the label {' or '.join(untrained)}")
        count = report["patients_known"]["val"]["radiographs"] if "val" in counts else 0
        if 0 < count < FEW_VALIDATION:
            remarks.append(
                f"only {format_count(count, 'radiograph')} in the split val, too few to choose the best epoch by a "
                "score; --config.training.metric=loss chooses it by the loss"
            )
    totals = sum_patients(report)
    radiographs = format_count(totals["radiographs"], "radiograph")
    patients = totals["patients"]
    if 0 < patients < FEW_PATIENTS and not totals["without"] and not totals["by_study"]:
        verb = "is" if patients == 1 else "are"
        remarks.append(
            f"there {verb} only {format_count(patients, 'patient')}: with so few, the splits depend on the seed"
        )
    if totals["by_study"]:
        remarks.append(
            f"{totals['by_study']} of {radiographs} name no patient, and only their study keeps them together: "
            "two studies of a patient may be in two splits"
        )
    if totals["without"]:
        remarks.append(
            f"{totals['without']} of {radiographs} have no known patient: nothing keeps the radiographs of a patient "
            "in one split; a table with the column patient_id does"
        )
    return remarks


_PURPOSES = {"val": ", which training needs to select its weights"}
