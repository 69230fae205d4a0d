"""What a data set lacks, said when it is prepared and not only when a training fails."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from data_prep.collections.patients import STUDY, is_pseudonym
from data_prep.record import Record

FEW_PATIENTS = 10


def count_patients(rows: Iterable[Record]) -> dict[str, int]:
    """What is known of the patients of some radiographs.

    Returns:
        "radiographs"; "patients", those who are known; "by_study", radiographs of which only the study is known, and
        "without", those of which neither is.
    """
    rows = list(rows)
    by_study = sum(is_pseudonym(row.patient_id, STUDY) for row in rows)
    without = sum(not row.patient_id for row in rows)
    patients = {row.patient_id for row in rows if row.patient_id and not is_pseudonym(row.patient_id, STUDY)}
    return {"radiographs": len(rows), "patients": len(patients), "by_study": by_study, "without": without}


def describe(report: Mapping[str, Any], wanted: Sequence[str]) -> list[str]:
    """Sentences on what may harm a training or a score, that on unknown patients the last.

    Args:
        report: "counts" and "patients_known" of a preparation.
        wanted: splits that are to hold something if there is a split train.
    """
    counts, known = report["counts"], report["patients_known"]
    remarks = []
    if "train" in counts:
        missing = [split for split in wanted if split not in counts]
        remarks += [f"no radiograph is in the split {split}{_NEEDED.get(split, '')}" for split in missing]
    of_labels = sum((Counter(labels) for labels in counts.values()), Counter())
    if single := sorted(label for label, count in of_labels.items() if label and count == 1):
        remarks.append(
            f"labels of a single radiograph, which can be learned or tested and not both: {', '.join(single)}"
        )
    if "train" in counts:
        unseen = sorted(
            label for label in of_labels if label and not counts["train"].get(label) and label not in single
        )
        if unseen:
            remarks.append(f"no radiograph of train has the label {' or '.join(unseen)}")
    total, patients, by_study, without = (
        sum(split[key] for split in known.values()) for key in ("radiographs", "patients", "by_study", "without")
    )
    if 0 < patients < FEW_PATIENTS and not without and not by_study:
        verb = "is" if patients == 1 else "are"
        remarks.append(f"there {verb} only {_count(patients, 'patient')}: splits of so few depend on the draw")
    if by_study:
        remarks.append(
            f"{by_study} of {_count(total, 'radiograph')} name no patient, and only their study keeps them together: "
            "two studies of a patient may be in two splits"
        )
    if without:
        remarks.append(
            f"{without} of {_count(total, 'radiograph')} have no known patient: nothing keeps the radiographs of a "
            "patient in one split"
        )
    return remarks


_NEEDED = {"val": ", by which a training chooses its network"}


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
