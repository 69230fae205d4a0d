"""The TFDS builder of all sources: writes array_record files shard by shard, with the metadata of the data set.

TFDS's own generator-based builder keeps a split in memory, see `shards`; this one writes the same data set without it.
TFDS stores the name of this module in every data set, and `cxrjax.io.prepared` opens no other.
"""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core.dataset_builder import FileReaderBuilder

from cxrjax.io.prepared import REPORT
from cxrjax.runtime.cores import count_cores
from cxrjax.runtime.formatting import format_count
from cxrjax.runtime.progress import progress_bar
from data_prep import beam_writer, remarks
from data_prep.example import features
from data_prep.options import OptionsT
from data_prep.record import PreparationError, SplitPlan
from data_prep.shards import Shard, ShardResult, chunk, write_shard
from data_prep.source import Source
from data_prep.text import printable

SPLITS = "splits.csv"
MAX_PRINTED = 20  # warnings on the screen; the report lists all


class Report(tfds.core.Metadata):
    """Report of a preparation, which TFDS saves with the data set: settings, counts, skipped radiographs."""

    def __init__(self, split_table: str = "", **content: Any):
        super().__init__(content)
        self._split_table = split_table

    def save_metadata(self, data_dir: str) -> None:  # noqa: D102
        Path(data_dir, REPORT).write_text(json.dumps(self, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        Path(data_dir, SPLITS).write_text(self._split_table, encoding="utf-8")

    def load_metadata(self, data_dir: str) -> None:  # noqa: D102
        self.update(json.loads(Path(data_dir, REPORT).read_text(encoding="utf-8")))


class _Info(tfds.core.DatasetInfo):
    """Data set info that does not search Google's bucket, which would leave an empty temporary folder behind."""

    def initialize_from_bucket(self) -> None:
        pass


class Builder(FileReaderBuilder, skip_registration=True):
    """The TFDS builder of all sources."""

    VERSION = tfds.core.Version("2.0.0")  # 2: pixels in place of files, see `Example.image`
    MULTI_LABEL_VERSION = tfds.core.Version("3.0.0")  # 2 with the field `findings`
    SUPPORTED_VERSIONS = [MULTI_LABEL_VERSION]  # noqa: RUF012 -- TFDS takes a list
    # Downloads are finished before the builder starts. Searching for checksums, TFDS 4.9.10 would import a package that
    # it does not declare.
    url_infos = None

    def __init__(
        self,
        source: Source[OptionsT],
        plan: SplitPlan,
        options: OptionsT,
        report: Report,
        expected_splits: Sequence[str] = (),
    ):
        """Set up the builder of a plan.

        Args:
            source: reads the radiographs.
            plan: the radiographs of each split.
            options: of the preparation.
            report: the report so far; the builder adds counts, patients, skipped radiographs and remarks.
            expected_splits: see `remarks.describe`.
        """
        self.name = options.name or source.name  # pyright: ignore[reportAttributeAccessIssue] -- TFDS has one per class
        self.report = report
        self._source = source
        self._plan = plan
        self._options = options
        self._expected_splits = expected_splits
        self._has_findings = source.has_findings(options)
        version = str(self.version_of(source, options))
        super().__init__(data_dir=options.out, file_format="array_record", version=version)

    @classmethod
    def version_of(cls, source: Source[OptionsT], options: OptionsT) -> tfds.core.Version:
        """Return the version of the data set that a source is prepared as."""
        version = cls.MULTI_LABEL_VERSION if source.has_findings(options) else cls.VERSION
        assert version is not None
        return version

    def _info(self) -> tfds.core.DatasetInfo:
        return _Info(
            builder=self,
            description=self._source.description,
            citation=self._source.citation,
            features=features(self._has_findings),
            disable_shuffling=True,  # stored in the source's own order; readers shuffle
            metadata=self.report,
        )

    def _download_and_prepare(self, dl_manager: Any, download_config: Any = None) -> None:
        folder = Path(self.data_dir)
        shards = [
            Shard(split, shard_records, str(folder / f"{split}-{number}"), self._has_findings)
            for split, records in self._plan.items()
            for number, shard_records in enumerate(chunk(records))
        ]
        written = list(zip(shards, self._write_shards(shards), strict=True))
        split_infos = [
            self._finalize_split(split, [(shard, result) for shard, result in written if shard.split == split])
            for split in self._plan
        ]
        self.report["remarks"] = [
            *remarks.describe(self.report, self._expected_splits),
            *self.report["remarks"],
        ]
        self.info.set_splits(tfds.core.SplitDict(split_infos))

    def _write_shards(self, shards: Sequence[Shard]) -> list[ShardResult]:
        read = partial(self._source.read, options=self._options)
        if beam_writer.is_beam_requested(self._options):
            return beam_writer.write_shards(shards, read, self._options)
        total = sum(len(shard.records) for shard in shards)
        with progress_bar(total=total, desc=f"preparing {self.name}", unit="radiograph") as bar:
            threads = count_cores() if self._source.is_drawn else 1
            return [write_shard(shard, read, tick=bar.update, num_threads=threads) for shard in shards]

    def _finalize_split(self, split: str, written: Sequence[tuple[Shard, ShardResult]]) -> tfds.core.SplitInfo:
        """Give the shards of a split their final names, remove empty ones, and update the report."""
        skipped = [entry for _, result in written for entry in result.skipped]
        for entry in skipped[: max(0, MAX_PRINTED - len(self.report["skipped"]))]:
            print(printable(f"warning: skipped {entry['name']}: {entry['reason']}"), file=sys.stderr)
        self.report["skipped"] += skipped
        nonempty = [(Path(shard.path), result) for shard, result in written if result.counts]
        if not nonempty:
            first = f"{skipped[0]['name']}: {skipped[0]['reason']}"
            raise PreparationError(
                f"split {split}: of {format_count(len(skipped), 'radiograph')} none can be read ({first})"
            )
        template = self._get_filename_template(split)
        for number, (path, _) in enumerate(nonempty):
            path.rename(template.sharded_filepath(shard_index=number, num_shards=len(nonempty)))
        for shard, result in written:
            if not result.counts:
                Path(shard.path).unlink()
        counts = sum((Counter(result.counts) for _, result in nonempty), Counter())
        self.report["counts"][split] = dict(sorted(counts.items()))
        skipped_ids = {entry["name"] for entry in skipped}
        stored = [record for record in self._plan[split] if record.id not in skipped_ids]
        self.report["patients_known"][split] = remarks.count_patients(stored)
        if self._has_findings:
            self.report.setdefault("findings", {})[split] = remarks.count_findings(stored)
        return tfds.core.SplitInfo(
            name=split,
            shard_lengths=[sum(result.counts.values()) for _, result in nonempty],
            num_bytes=sum(result.size for _, result in nonempty),
            filename_template=template,
        )
