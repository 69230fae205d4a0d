"""Near-duplicates across prepared data sets, such as one to train with and another to test with."""

from collections.abc import Sequence

from tqdm import tqdm

from cxrjax.io import csv_text, prepared, radiograph
from cxrjax.io.radiograph import UnreadableRadiograph
from data_prep.checks import duplicates, fingerprint
from data_prep.checks.duplicates import Known, Pair
from data_prep.checks.prepared import locate, read_records
from data_prep.row import CannotPrepare


def list_duplicates(folders: Sequence[str]) -> str:
    """Near-duplicates among all radiographs of several data sets, or of one.

    Args:
        folders: OUT/NAME or OUT/NAME/VERSION of each.

    Returns:
        CSV: the columns of `duplicates.Pair`, a row a pair; an id is FOLDER:ID.

    Raises:
        CannotPrepare: a folder holds no prepared data set.
    """
    versions = {locate(folder): folder for folder in folders}
    taken = []
    for version, folder in versions.items():
        for split, _, record in tqdm(read_records(version), desc=f"reading {folder}", unit="radiograph", delay=2):
            try:
                found = prepared.decode(record, radiograph.decode)
            except UnreadableRadiograph as error:
                raise CannotPrepare(f"{folder}: damaged, {error}; prepare the data set again") from error
            patient = record["patient_id"] and f"{folder}:{record['patient_id']}"
            known = Known(f"{folder}:{record['id']}", record["label"], split, patient)
            taken.append((known, fingerprint.take(found)))
    return csv_text.format_rows([Pair._fields, *duplicates.compare(taken)], end="\n").removesuffix("\n")
