"""A source to a data set on disk: TFDS in array_record files, whole or not at all.

`OUT/NAME/VERSION/` holds the records, what TFDS needs to read them, `report.json` (settings, counts, what is known of
patients, every radiograph left out with its reason, near-duplicates, warnings) and `splits.csv` (who is where, to be
given to --splits). TFDS writes into a folder called `incomplete.*` and renames it as its last act.
"""

import contextlib
import hashlib
import re
import sys
import tempfile
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from cxrjax.io.prepared import COMPLETE_MARKER, REPORT
from data_prep import output_folder, splits
from data_prep.builder import MAX_PRINTED, Builder, Report
from data_prep.checks import duplicates
from data_prep.collections import patients
from data_prep.dataset_reader import read_report
from data_prep.download.source_files import download_source
from data_prep.record import PreparationError, Record, SkippedRecord
from data_prep.source import Source
from data_prep.text import make_storable, printable

_OLDER = "{}: an older form of this data set, which may hold whole files, with the names in their headers; remove it"


def prepare(source: Source, options: Namespace) -> tuple[str, bool]:
    """Prepares a data set, unless it is there already.

    Args:
        source: where the radiographs come from.
        options: of the command line, see `__main__.parse`.

    Returns:
        One line (radiographs by split and label, and the folder), a line for each warning, that on unknown patients the
        last; and whether everything that upstream names was taken.

    Raises:
        PreparationError: a bad name, a patient in two splits, a data set with other settings or files of others in the
            way, or what the source itself refuses.
    """
    name = options.name or source.name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise PreparationError(f"--name={name}: a data set's name has lower-case letters, digits and _, a letter first")
    if options.seed < 0:
        raise PreparationError(f"--seed={options.seed}: a seed is 0 or more")
    if options.folds < 0 or options.folds == 1:
        raise PreparationError(f"--folds={options.folds}: at least two folds are needed")
    folder = Path(options.out, name, str(Builder.VERSION))
    root = Path(options.root) if options.root else source.default_dir(options) or download_source(source, options)
    output_folder.check_output(folder, Path(options.root) if options.root else None)
    rows, skipped = collect_records(source, root, options)
    settings = _settings(source, rows, options)
    if (folder / COMPLETE_MARKER).is_file() and not options.overwrite:
        report = read_report(folder)
        if report["settings"] != settings:
            raise PreparationError(
                f"{folder}: made from other input or settings; --overwrite it or give another --name"
            )
        return f"already complete, nothing done: {_summarise(report, folder)}", not report["skipped"]
    for skip in skipped[:MAX_PRINTED]:
        print(printable(f"warning: skipped {skip.id}: {skip.reason}"), file=sys.stderr)
    shares = (
        splits.name_folds(options.folds) if options.folds else splits.parse_shares(options.split, source.split_ratios)
    )
    plan, pairs = splits.assign_splits(rows, shares, options.seed), []
    if options.duplicates != "off":
        pairs = duplicates.find_duplicates(plan)
        if options.duplicates == "drop":
            plan, dropped = duplicates.drop_duplicates(plan, pairs)
            skipped += dropped
    report = Report(
        splits.format_table(plan),
        source=source.name,
        settings=settings,
        counts={},
        patients_known={},
        remarks=[*source.remarks(rows, root, options), *filter(None, [patients.warn_of_one_patient(rows)])],
        skipped=[{"name": skip.id, "reason": skip.reason} for skip in skipped],
        duplicates=[pair._asdict() for pair in pairs],
    )
    wanted = [] if options.folds else [split for split in ("val", "test") if shares[split]]
    try:
        output_folder.remove_incomplete(folder)
        builder = Builder(source, plan, options, report, wanted)
        tfds.disable_progress_bar()
        with tempfile.TemporaryDirectory() as unused, contextlib.redirect_stdout(None):
            builder.download_and_prepare(download_dir=unused)
    except OSError as error:
        raise PreparationError(f"{error.filename or folder}: {error.strerror or error}") from error
    return _summarise(report, folder), not report["skipped"]


def collect_records(source: Source, root: Path, options: Namespace) -> tuple[list[Record], list[SkippedRecord]]:
    """What upstream has and what of it is left out, with each radiograph bound to the split that is fixed for it.

    Raises:
        PreparationError: nothing is left, a radiograph is there twice, or what the source itself refuses.
    """
    rows: list[Record] = []
    skipped: list[SkippedRecord] = []
    for one in map(make_storable, source.rows(root, options)):
        (rows if isinstance(one, Record) else skipped).append(one)
    rows = patients.identify(rows, options.salt)
    counts = Counter(row.id for row in rows)
    if repeated := [name for name, count in counts.items() if count > 1]:
        raise PreparationError(f"{root}: {repeated[0] or 'an empty path'} is there twice")
    if options.splits:
        rows, left = splits.assign_fixed_splits(rows, splits.read_table(Path(options.splits)), only=options.splits)
        skipped += left
    elif options.folds:
        rows = [replace(row, split="") for row in rows]
    elif table := source.splits_table():
        rows, _ = splits.assign_fixed_splits(rows, splits.read_table(table))
    if not rows:
        first = f" ({skipped[0].id}: {skipped[0].reason})" if skipped else ""
        raise PreparationError(f"{root}: no radiograph that {source.name} can take is here{first}")
    return rows, skipped


def _settings(source: Source, rows: Sequence[Record], options: Namespace) -> dict[str, Any]:
    """What makes two preparations equal: equal settings, equal data set."""
    content = hashlib.sha256()
    for row in rows:
        files = [row.file, *row.masks.values()] if row.file else []
        sizes = [path.stat().st_size if path.is_file() else -1 for path in files]
        told = (row.id, row.label, row.patient_id, row.source, row.split, row.view, row.sex, row.age, row.licence)
        content.update(repr((told, sizes)).encode())
    common = {key: getattr(options, key) for key in ("split", "seed", "folds", "duplicates")}
    return source.settings(options) | common | {"rows_sha256": content.hexdigest()}


def _summarise(report: dict[str, Any], folder: Path) -> str:
    parts = []
    for split, labels in report["counts"].items():
        by_label = ", ".join(f"{label or 'unlabelled'} {count}" for label, count in labels.items())
        parts.append(f"{split} {sum(labels.values())} ({by_label})")
    for key, what in (("skipped", "skipped"), ("duplicates", "pairs of near-duplicates")):
        if report.get(key):
            parts.append(f"{len(report[key])} {what}, see {REPORT}")
    older = [path.parent for path in folder.parent.glob(f"[0-9]*/{COMPLETE_MARKER}") if path.parent != folder]
    remarks = [*(_OLDER.format(path) for path in sorted(older)), *report.get("remarks", [])]
    last = [f"warning: {sentence}" for sentence in remarks]
    return "\n".join([f"{'; '.join(parts)}: {folder}", *last])
