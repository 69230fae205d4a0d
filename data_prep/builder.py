"""The TFDS builder of any source: array_record files, written by shards, and what goes with them.

TFDS's own generator-based builder holds a split in memory, see `shards`; this one writes the same data set without.
"""

import json
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core.dataset_builder import FileReaderBuilder
from tqdm import tqdm

from cxrjax.io.prepared import REPORT
from data_prep import beam_writer, remarks
from data_prep.example import features
from data_prep.record import PreparationError, SplitPlan
from data_prep.shards import Shard, ShardResult, chunk, write_shard
from data_prep.source import Source
from data_prep.text import printable

SPLITS = "splits.csv"
MAX_PRINTED = 20  # warnings on the screen; the report has all


class Report(tfds.core.Metadata):
    """What was prepared and what was left out; TFDS saves it with the data set."""

    def __init__(self, table: str = "", **known: Any):
        super().__init__(known)
        self._table = table

    def save_metadata(self, data_dir: str) -> None:  # noqa: D102
        Path(data_dir, REPORT).write_text(json.dumps(self, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        Path(data_dir, SPLITS).write_text(self._table, encoding="utf-8")

    def load_metadata(self, data_dir: str) -> None:  # noqa: D102
        self.update(json.loads(Path(data_dir, REPORT).read_text(encoding="utf-8")))


class _Info(tfds.core.DatasetInfo):
    """TFDS's own looks in a bucket for data sets of Google's, and leaves an empty temporary folder behind."""

    def initialize_from_bucket(self) -> None:
        pass


class Builder(FileReaderBuilder, skip_registration=True):
    """The TFDS builder of any source."""

    VERSION = tfds.core.Version("2.0.0")  # 2: pixels in place of files, see `Example.image`
    # Downloads are over before it begins. Looking for checksums, TFDS 4.9.10 would import a package that it does not
    # declare.
    url_infos = None

    def __init__(self, source: Source, plan: SplitPlan, options: Namespace, report: Report, wanted: Sequence[str] = ()):
        """Set up the builder of a plan.

        Args:
            source: reads the radiographs.
            plan: which are in which split.
            options: of the command line.
            report: what is known before; the rest is added to it.
            wanted: see `remarks.describe`.
        """
        self.name = options.name or source.name
        self.report = report
        self._source = source
        self._plan = plan
        self._options = options
        self._wanted = wanted
        super().__init__(data_dir=options.out, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        return _Info(
            builder=self,
            description=self._source.description,
            citation=self._source.citation,
            features=features(),
            disable_shuffling=True,  # stored in the source's own order; readers shuffle
            metadata=self.report,
        )

    def _download_and_prepare(self, dl_manager: Any, download_config: Any) -> None:
        folder = Path(self.data_dir)
        shards = [
            Shard(split, rows, str(folder / f"{split}-{number}"))
            for split, all_rows in self._plan.items()
            for number, rows in enumerate(chunk(all_rows))
        ]
        told = self._write(shards)
        infos = [
            self._finish(split, [one for one in zip(shards, told, strict=True) if one[0].split == split])
            for split in self._plan
        ]
        self.report["remarks"] += remarks.describe(self.report, self._wanted)
        self.info.set_splits(tfds.core.SplitDict(infos))

    def _write(self, shards: Sequence[Shard]) -> list[ShardResult]:
        read = partial(self._source.read, options=self._options)
        if beam_writer.is_beam_requested(self._options):
            return beam_writer.write_shards(shards, read, self._options)
        total = sum(len(shard.rows) for shard in shards)
        with tqdm(total=total, desc=f"preparing {self.name}", unit="radiograph") as bar:
            return [write_shard(shard, read, tick=bar.update) for shard in shards]

    def _finish(self, split: str, written: Sequence[tuple[Shard, ShardResult]]) -> tfds.core.SplitInfo:
        """Gives the shards of a split their names, now that it is known which hold anything; and reports."""
        skipped = [entry for _, told in written for entry in told.skipped]
        for entry in skipped[: max(0, MAX_PRINTED - len(self.report["skipped"]))]:
            print(printable(f"warning: skipped {entry['name']}: {entry['reason']}"), file=sys.stderr)
        self.report["skipped"] += skipped
        kept = [(Path(shard.path), told) for shard, told in written if told.counts]
        if not kept:
            first = f"{skipped[0]['name']}: {skipped[0]['reason']}"
            raise PreparationError(f"split {split}: none of its {len(skipped)} radiographs can be read ({first})")
        template = self._get_filename_template(split)
        for number, (path, _) in enumerate(kept):
            path.rename(template.sharded_filepath(shard_index=number, num_shards=len(kept)))
        for shard, told in written:
            if not told.counts:
                Path(shard.path).unlink()
        counts = sum((Counter(told.counts) for _, told in kept), Counter())
        self.report["counts"][split] = dict(sorted(counts.items()))
        gone = {entry["name"] for entry in skipped}
        self.report["patients_known"][split] = remarks.count_patients(
            row for row in self._plan[split] if row.id not in gone
        )
        return tfds.core.SplitInfo(
            name=split,
            shard_lengths=[sum(told.counts.values()) for _, told in kept],
            num_bytes=sum(told.size for _, told in kept),
            filename_template=template,
        )
