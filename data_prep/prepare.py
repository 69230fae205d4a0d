"""A source to a data set on disk: TFDS in array_record files, whole or not at all.

`OUT/NAME/VERSION/` holds the records, what TFDS needs to read them, and `report.json`: settings, counts, and every
radiograph left out with its reason. TFDS writes into a folder called `incomplete.*` and renames it as its last act.
"""

import contextlib
import json
import re
import shutil
import sys
import tempfile
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from tqdm import tqdm

from data_prep.example import features
from data_prep.source import BadRow, CannotPrepare, Plan, Row, Source

REPORT, WHOLE = "report.json", "dataset_info.json"  # the second is what TFDS writes last


class Report(tfds.core.Metadata):
    """What was prepared and what was left out; TFDS saves it with the data set."""

    def save_metadata(self, data_dir: str) -> None:  # noqa: D102
        Path(data_dir, REPORT).write_text(json.dumps(self, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def load_metadata(self, data_dir: str) -> None:  # noqa: D102
        self.update(json.loads(Path(data_dir, REPORT).read_text(encoding="utf-8")))


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """The TFDS builder of any source."""

    VERSION = tfds.core.Version("1.0.0")
    # Nothing is downloaded. Looking for checksums, TFDS 4.9.10 would import a package that it does not declare.
    url_infos = None

    def __init__(self, source: Source, plan: Plan, options: Namespace):
        self.name = options.name or source.name
        self._source, self._plan, self._options = source, plan, options
        self.report = Report(source=source.name, settings=source.settings(options), counts={}, skipped=[])
        super().__init__(data_dir=options.out, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self._source.about,
            citation=self._source.citation,
            features=features(),
            disable_shuffling=True,  # stored in the source's own order; readers shuffle
            metadata=self.report,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        total = sum(len(rows) for rows in self._plan.values())
        bar = tqdm(total=total, desc=f"preparing {self.name}", unit="radiograph")
        return {split: self._generate_examples(split, rows, bar) for split, rows in self._plan.items()}

    def _generate_examples(self, split: str, rows: list[Row], bar: tqdm) -> Iterator[tuple[int, dict[str, Any]]]:
        counts = Counter()
        for number, row in enumerate(rows):
            bar.update()
            try:
                example = self._source.read(row, self._options)
            except BadRow as error:
                self.report["skipped"].append({"name": row.id, "split": split, "reason": str(error)})
                bar.write(f"warning: skipped {row.id}: {error}", file=sys.stderr)
                continue
            counts[example.label] += 1
            yield number, example.record()
        if not counts:
            first = self.report["skipped"][-1]
            raise CannotPrepare(
                f"split {split}: none of its {len(rows)} radiographs can be read ({first['name']}: {first['reason']})"
            )
        self.report["counts"][split] = dict(sorted(counts.items()))
        if bar.n == bar.total:
            bar.close()


def prepare(source: Source, options: Namespace) -> str:
    """Prepares a data set, unless it is there already.

    Args:
        source: where the radiographs come from.
        options: `out` (folder), `name` ("" for the source's), `overwrite`, and the source's own.

    Returns:
        One line: radiographs by split and label, and the folder.

    Raises:
        CannotPrepare: a bad name, a patient in two splits, a data set with other settings in the way, or what the
            source itself refuses.
    """
    name = options.name or source.name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise CannotPrepare(f"--name={name}: a data set's name has lower-case letters, digits and _, a letter first")
    folder = Path(options.out, name, str(Builder.VERSION))
    plan = {split: rows for split, rows in source.plan(options).items() if rows}
    refuse_shared_patients(plan)
    if (folder / WHOLE).is_file() and not options.overwrite:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        if report["settings"] != source.settings(options):
            raise CannotPrepare(f"{folder}: made from other input or settings; --overwrite it or give another --name")
        return f"already complete, nothing done: {_summarise(report, folder)}"
    try:
        _discard(folder)
        builder = Builder(source, plan, options)
        tfds.disable_progress_bar()
        with tempfile.TemporaryDirectory() as unused, contextlib.redirect_stdout(None):
            builder.download_and_prepare(download_dir=unused)
    except OSError as error:
        raise CannotPrepare(f"{error.filename or folder}: {error.strerror or error}") from error
    return _summarise(builder.report, folder)


def refuse_shared_patients(plan: Plan) -> None:
    """Raises CannotPrepare, naming the patient, if one is in two splits."""
    seen: dict[str, str] = {}
    for split, rows in plan.items():
        for row in rows:
            if row.patient_id and seen.setdefault(row.patient_id, split) != split:
                raise CannotPrepare(
                    f"patient {row.patient_id} is in two splits, {seen[row.patient_id]} and {split} ({row.id})"
                )


def _discard(folder: Path) -> None:
    """Removes a data set, or what interrupted ones left; without its last-written file it counts as none."""
    (folder / WHOLE).unlink(missing_ok=True)
    for remains in [folder, *folder.parent.glob(f"incomplete.*_{folder.name}")]:
        if remains.exists():
            shutil.rmtree(remains)


def _summarise(report: dict[str, Any], folder: Path) -> str:
    splits = []
    for split, labels in report["counts"].items():
        by_label = ", ".join(f"{label or 'unlabelled'} {count}" for label, count in labels.items())
        splits.append(f"{split} {sum(labels.values())} ({by_label})")
    skipped = f"; {len(report['skipped'])} skipped, see {REPORT}" if report["skipped"] else ""
    return f"{'; '.join(splits)}{skipped}: {folder}"
