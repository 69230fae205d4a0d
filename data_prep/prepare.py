"""A source to a data set on disk: TFDS in array_record files, whole or not at all.

`OUT/NAME/VERSION/` holds the records, what TFDS needs to read them, `report.json` (settings, counts, every radiograph
left out with its reason, near-duplicates) and `splits.csv` (who is where, to be given to --splits). TFDS writes into a
folder called `incomplete.*` and renames it as its last act.
"""

import contextlib
import hashlib
import json
import re
import shutil
import sys
import tempfile
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from data_prep import splits
from data_prep.builder import REPORT, SHOWN, WHOLE, Builder, Report
from data_prep.checks import duplicates
from data_prep.fetch.obtain import obtain
from data_prep.row import CannotPrepare, Row, Skip
from data_prep.source import Source


def prepare(source: Source, options: Namespace) -> tuple[str, bool]:
    """Prepares a data set, unless it is there already.

    Args:
        source: where the radiographs come from.
        options: of the command line, see `__main__.parse`.

    Returns:
        One line (radiographs by split and label, and the folder), and whether everything that upstream names was taken.

    Raises:
        CannotPrepare: a bad name, a patient in two splits, a data set with other settings in the way, or what the
            source itself refuses.
    """
    name = options.name or source.name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise CannotPrepare(f"--name={name}: a data set's name has lower-case letters, digits and _, a letter first")
    if options.seed < 0:
        raise CannotPrepare(f"--seed={options.seed}: a seed is 0 or more")
    if options.folds < 0 or options.folds == 1:
        raise CannotPrepare(f"--folds={options.folds}: at least two folds are needed")
    folder = Path(options.out, name, str(Builder.VERSION))
    root = Path(options.root) if options.root else source.place(options) or obtain(source, options)
    rows, skipped = take(source, root, options)
    settings = _settings(source, rows, options)
    if (folder / WHOLE).is_file() and not options.overwrite:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        if report["settings"] != settings:
            raise CannotPrepare(f"{folder}: made from other input or settings; --overwrite it or give another --name")
        return f"already complete, nothing done: {_summarise(report, folder)}", not report["skipped"]
    for skip in skipped[:SHOWN]:
        print(f"warning: skipped {skip.id}: {skip.reason}", file=sys.stderr)
    shares = splits.name_folds(options.folds) if options.folds else splits.parse_shares(options.split, source.shares)
    plan, pairs = splits.assign(rows, shares, options.seed), []
    if options.duplicates != "off":
        pairs = duplicates.find(plan)
        if options.duplicates == "drop":
            plan, dropped = duplicates.drop(plan, pairs)
            skipped += dropped
    report = Report(
        splits.format_table(plan),
        source=source.name,
        settings=settings,
        counts={},
        skipped=[{"name": skip.id, "reason": skip.reason} for skip in skipped],
        duplicates=[pair._asdict() for pair in pairs],
    )
    try:
        _discard(folder)
        builder = Builder(source, plan, options, report)
        tfds.disable_progress_bar()
        with tempfile.TemporaryDirectory() as unused, contextlib.redirect_stdout(None):
            builder.download_and_prepare(download_dir=unused)
    except OSError as error:
        raise CannotPrepare(f"{error.filename or folder}: {error.strerror or error}") from error
    return _summarise(report, folder), not report["skipped"]


def take(source: Source, root: Path, options: Namespace) -> tuple[list[Row], list[Skip]]:
    """What upstream has and what of it is left out, with each radiograph bound to the split that is fixed for it.

    Raises:
        CannotPrepare: nothing is left, a radiograph is there twice, or what the source itself refuses.
    """
    rows: list[Row] = []
    skipped: list[Skip] = []
    for one in source.rows(root, options):
        (rows if isinstance(one, Row) else skipped).append(one)
    counts = Counter(row.id for row in rows)
    if repeated := [name for name, count in counts.items() if count > 1]:
        raise CannotPrepare(f"{root}: {repeated[0] or 'an empty path'} is there twice")
    if options.splits:
        rows, left = splits.bind(rows, splits.read_table(Path(options.splits)), only=options.splits)
        skipped += left
    elif options.folds:
        rows = [replace(row, split="") for row in rows]
    elif table := source.splits_table():
        rows, _ = splits.bind(rows, splits.read_table(table))
    if not rows:
        first = f" ({skipped[0].id}: {skipped[0].reason})" if skipped else ""
        raise CannotPrepare(f"{root}: no radiograph that {source.name} can take is here{first}")
    return rows, skipped


def _settings(source: Source, rows: Sequence[Row], options: Namespace) -> dict[str, Any]:
    """What makes two preparations equal: equal settings, equal data set."""
    content = hashlib.sha256()
    for row in rows:
        files = [row.file, *row.masks.values()] if row.file else []
        sizes = [path.stat().st_size if path.is_file() else -1 for path in files]
        told = (row.id, row.label, row.patient_id, row.source, row.split, row.view, row.sex, row.age, row.licence)
        content.update(repr((told, sizes)).encode())
    common = {key: getattr(options, key) for key in ("split", "seed", "folds", "duplicates")}
    return source.settings(options) | common | {"rows_sha256": content.hexdigest()}


def _discard(folder: Path) -> None:
    """Removes a data set, or what interrupted ones left; without its last-written file it counts as none."""
    (folder / WHOLE).unlink(missing_ok=True)
    for remains in [folder, *folder.parent.glob(f"incomplete.*_{folder.name}")]:
        if remains.exists():
            shutil.rmtree(remains)


def _summarise(report: dict[str, Any], folder: Path) -> str:
    parts = []
    for split, labels in report["counts"].items():
        by_label = ", ".join(f"{label or 'unlabelled'} {count}" for label, count in labels.items())
        parts.append(f"{split} {sum(labels.values())} ({by_label})")
    for key, what in (("skipped", "skipped"), ("duplicates", "pairs of near-duplicates")):
        if report.get(key):
            parts.append(f"{len(report[key])} {what}, see {REPORT}")
    return f"{'; '.join(parts)}: {folder}"
