"""Find near-duplicates across prepared data sets, for example one for training and another for testing."""

from collections.abc import Sequence

from cxrjax.io import csv_text, prepared, radiograph
from cxrjax.io.radiograph import ImageReadError
from cxrjax.runtime.progress import progress_bar
from data_prep.checks import duplicates, fingerprint
from data_prep.checks.duplicates import Pair, RecordInfo
from data_prep.dataset_reader import find_dataset, read_records
from data_prep.record import PreparationError


def list_duplicates(folders: Sequence[str]) -> str:
    """Find the near-duplicates among all radiographs of one or several data sets.

    Args:
        folders: OUT/NAME or OUT/NAME/VERSION of each.

    Returns:
        CSV with the columns of `duplicates.Pair` and one row per pair; ids are written FOLDER:ID.

    Raises:
        PreparationError: a folder holds no prepared data set.
    """
    versions = {find_dataset(folder): folder for folder in folders}
    fingerprints = []
    for version, folder in versions.items():
        for split, _, record in progress_bar(read_records(version), desc=f"reading {folder}", unit="radiograph"):
            try:
                image = prepared.decode(record, radiograph.decode)
            except ImageReadError as error:
                raise PreparationError(f"{folder}: damaged, {error}; prepare the data set again") from error
            patient = record["patient_id"] and f"{folder}:{record['patient_id']}"
            info = RecordInfo(f"{folder}:{record['id']}", record["label"], split, patient)
            fingerprints.append((info, fingerprint.compute(image)))
    return csv_text.format_rows([Pair._fields, *duplicates.compare(fingerprints)], end="\n").removesuffix("\n")
