"""Near-duplicates across prepared data sets, such as one to train with and another to test with."""

from collections.abc import Sequence

from tqdm import tqdm

from cxrjax.io import csv_text, prepared, radiograph
from cxrjax.io.radiograph import ImageReadError
from data_prep.checks import duplicates, fingerprint
from data_prep.checks.duplicates import Pair, RecordInfo
from data_prep.dataset_reader import find_dataset, read_records
from data_prep.record import PreparationError


def list_duplicates(folders: Sequence[str]) -> str:
    """Near-duplicates among all radiographs of several data sets, or of one.

    Args:
        folders: OUT/NAME or OUT/NAME/VERSION of each.

    Returns:
        CSV: the columns of `duplicates.Pair`, a row a pair; an id is FOLDER:ID.

    Raises:
        PreparationError: a folder holds no prepared data set.
    """
    versions = {find_dataset(folder): folder for folder in folders}
    taken = []
    for version, folder in versions.items():
        for split, _, record in tqdm(read_records(version), desc=f"reading {folder}", unit="radiograph", delay=2):
            try:
                found = prepared.decode(record, radiograph.decode)
            except ImageReadError as error:
                raise PreparationError(f"{folder}: damaged, {error}; prepare the data set again") from error
            patient = record["patient_id"] and f"{folder}:{record['patient_id']}"
            known = RecordInfo(f"{folder}:{record['id']}", record["label"], split, patient)
            taken.append((known, fingerprint.compute(found)))
    return csv_text.format_rows([Pair._fields, *duplicates.compare(taken)], end="\n").removesuffix("\n")
