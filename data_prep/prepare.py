"""Write a source to disk as a complete TFDS data set in array_record files, or write nothing.

`OUT/NAME/VERSION/` holds the records, the files that TFDS needs to read them, `report.json` (settings, counts, known
patients, every skipped radiograph with its reason, near-duplicates, warnings) and `splits.csv` (the split of every
radiograph, which --split_csv reads). TFDS writes into a folder called `incomplete.*` and renames it at the end.
"""

import contextlib
import hashlib
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from cxrjax.io import findings
from cxrjax.io.prepared import COMPLETE_MARKER, REPORT
from data_prep import output_folder, splits
from data_prep.builder import MAX_PRINTED, Builder, Report
from data_prep.checks import duplicates
from data_prep.collections import patients
from data_prep.dataset_reader import read_report
from data_prep.download.source_files import download_source
from data_prep.options import OptionsT
from data_prep.record import NO_LABEL, PreparationError, Record, SkippedRecord
from data_prep.source import Source
from data_prep.text import make_storable, printable

_OLDER = "{}: an older form of this data set, which may hold whole files with names in their headers; remove it"


def prepare(source: Source[OptionsT], options: OptionsT) -> tuple[str, bool]:
    """Prepare a data set, unless it is already complete.

    Args:
        source: lists and reads the radiographs.
        options: of the preparation.

    Returns:
        A summary: one line with the radiographs per split and label and the folder, and one line per warning, the one
        about unknown patients last. And whether every radiograph that upstream lists was stored.

    Raises:
        PreparationError: the name is not valid, a patient is in two splits, the folder holds other files or a data set
            with other settings, or the source rejects its files.
    """
    name = options.name or source.name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise PreparationError(f"--name={name}: a data set's name has lower-case letters, digits and _, a letter first")
    if options.seed < 0:
        raise PreparationError(f"--seed={options.seed}: a seed is 0 or more")
    if options.folds < 0 or options.folds == 1:
        raise PreparationError(f"--folds={options.folds}: at least two folds are needed")
    folder = Path(options.out, name, str(Builder.version_of(source, options)))
    raw_dir = Path(options.raw_dir) if options.raw_dir else None
    if raw_dir and not raw_dir.is_dir():
        raise PreparationError(f"{raw_dir}: no such folder; --raw_dir names it")
    root = raw_dir or source.default_dir(options) or download_source(source, options)
    output_folder.check_output(folder, raw_dir)
    records, skipped = collect_records(source, root, options)
    records, left_out = _select_labels(records, source, options)
    settings = _collect_settings(source, records, options)
    if (folder / COMPLETE_MARKER).is_file() and not options.overwrite:
        report = read_report(folder)
        if report["settings"] != settings:
            raise PreparationError(
                f"{folder}: was prepared from other input or settings; use --overwrite or another --name"
            )
        return f"already complete, nothing done: {_summarize(report, folder)}", not report["skipped"]
    for record in skipped[:MAX_PRINTED]:
        print(printable(f"warning: skipped {record.id}: {record.reason}"), file=sys.stderr)
    ratios = (
        splits.name_folds(options.folds)
        if options.folds
        else splits.name_ratios(options.split_ratios or source.split_ratios)
    )
    plan = splits.assign_splits(records, ratios, options.seed)
    warnings = [patients.warn_of_one_patient(records)]
    pairs = []
    if options.duplicates != "off":
        pairs = duplicates.find_duplicates(plan)
        if options.duplicates == "drop":
            plan, dropped = duplicates.drop_duplicates(plan, pairs)
            skipped += dropped
        else:
            warnings.append(duplicates.warn_of_pairs_across_splits(pairs))
    report = Report(
        splits.format_table(plan),
        source=source.name,
        settings=settings,
        counts={},
        patients_known={},
        remarks=[*filter(None, [left_out, *warnings]), *source.remarks(records, root, options)],
        skipped=[{"name": record.id, "reason": record.reason} for record in skipped],
        duplicates=[pair._asdict() for pair in pairs],
    )
    expected_splits = [] if options.folds else [split for split in ("val", "test") if ratios[split]]
    try:
        output_folder.remove_incomplete(folder)
        builder = Builder(source, plan, options, report, expected_splits)
        tfds.disable_progress_bar()
        with tempfile.TemporaryDirectory() as unused, contextlib.redirect_stdout(None):
            builder.download_and_prepare(download_dir=unused)
    except OSError as error:
        raise PreparationError(f"{error.filename or folder}: {error.strerror or error}") from error
    return _summarize(report, folder), not report["skipped"]


def collect_records(
    source: Source[OptionsT], root: Path, options: OptionsT
) -> tuple[list[Record], list[SkippedRecord]]:
    """List the radiographs of a source and those that are skipped, and assign the splits that are fixed.

    Raises:
        PreparationError: no radiograph is left, one is listed twice, or the source rejects its files.
    """
    records: list[Record] = []
    skipped: list[SkippedRecord] = []
    for entry in map(make_storable, source.records(root, options)):
        if isinstance(entry, Record):
            records.append(_add_label(entry) if source.has_findings(options) else entry)
        else:
            skipped.append(entry)
    records = patients.identify(records, options.salt)
    counts = Counter(record.id for record in records)
    if repeated := [name for name, count in counts.items() if count > 1]:
        raise PreparationError(f"{root}: {repeated[0] or 'an empty path'} is there twice")
    if options.split_csv:
        table = splits.read_table(Path(options.split_csv))
        records, unassigned = splits.assign_fixed_splits(records, table, required_by=options.split_csv)
        skipped += unassigned
    elif options.folds:
        records = [replace(record, split="") for record in records]
    elif path := source.splits_table():
        records, _ = splits.assign_fixed_splits(records, splits.read_table(path))
    if not records:
        first = f" ({skipped[0].id}: {skipped[0].reason})" if skipped else ""
        raise PreparationError(f"{root}: it holds no radiograph that {source.name} can read{first}")
    return records, skipped


def _select_labels(records: list[Record], source: Source[OptionsT], options: OptionsT) -> tuple[list[Record], str]:
    """Return the records with one of the labels of --labels, and a remark on the others, "" without the option.

    Raises:
        PreparationError: no record has such a label, or the source has several findings per radiograph.
    """
    if not options.labels:
        return records, ""
    flag = f"--labels={','.join(options.labels)}"
    if source.has_findings(options):
        raise PreparationError(f"{flag}: {source.name} has several findings per radiograph, and not one label")
    selected = [record for record in records if record.label in options.labels]
    others = Counter(record.label for record in records if record.label not in options.labels)
    names = _format_counts(dict(sorted(others.items(), key=lambda item: item[0] or NO_LABEL)))
    if not selected:
        raise PreparationError(f"{flag}: no radiograph has one of these labels; there are {names}")
    return selected, f"left out by --labels: {names}" if names else ""


def _add_label(record: Record) -> Record:
    """Return a record with the label that its findings give, unless the source gave it one."""
    return record if record.label else replace(record, label=findings.format_label(record.findings))


def _collect_settings(source: Source[OptionsT], records: Sequence[Record], options: OptionsT) -> dict[str, Any]:
    """Return the settings that determine a data set: two preparations with equal settings give equal data sets."""
    checksum = hashlib.sha256()
    for record in records:
        files = [record.file, *record.masks.values()] if record.file else []
        sizes = [path.stat().st_size if path.is_file() else -1 for path in files]
        metadata = (
            *(record.id, record.label, record.patient_id, record.source, record.split),
            *(record.view, record.sex, record.age, record.license),
            *([dict(record.findings)] if record.findings else []),
        )
        checksum.update(repr((metadata, sizes)).encode())
    common = {
        "split": splits.format_ratios(options.split_ratios),
        "seed": options.seed,
        "folds": options.folds,
        "duplicates": options.duplicates,
    }
    return source.settings(options) | common | {"rows_sha256": checksum.hexdigest()}


def _format_counts(counts: Mapping[str, int]) -> str:
    """Return the numbers of radiographs by label as "normal 3, viral 2"."""
    return ", ".join(f"{label or NO_LABEL} {count}" for label, count in counts.items())


def _summarize(report: dict[str, Any], folder: Path) -> str:
    parts = []
    for split, labels in report["counts"].items():
        by_label = _format_counts(labels)
        if findings_of_split := report.get("findings", {}).get(split):
            by_label = ", ".join(f"{name} {values['positive']}" for name, values in findings_of_split.items())
        parts.append(f"{split} {sum(labels.values())} ({by_label})")
    if report.get("skipped"):
        parts.append(f"{len(report['skipped'])} skipped, see {REPORT}")
    if count := len(report.get("duplicates", ())):
        parts.append(f"{count} {'pair' if count == 1 else 'pairs'} of near-duplicates, see {REPORT}")
    older = [path.parent for path in folder.parent.glob(f"[0-9]*/{COMPLETE_MARKER}") if path.parent != folder]
    remarks = [*(_OLDER.format(path) for path in sorted(older)), *report.get("remarks", [])]
    warnings = [f"warning: {sentence}" for sentence in remarks]
    return "\n".join([f"{'; '.join(parts)}: {folder}", *warnings])
