"""Shards: reproducible, written without keeping their radiographs in memory, and removed if empty."""

import json
import threading
import tracemalloc

import pytest
import tensorflow_datasets as tfds

from data_prep import shards
from data_prep.__main__ import main
from data_prep.example import Example
from data_prep.phantom.source import SOURCE, PhantomOptions
from data_prep.record import PreparationError, Record, RecordError
from tests.helpers.image_files import save_image

SMALL = ["phantom", "--count=3", "--split_ratios=0.34,0.33,0.33", "--size=64", "--duplicates=off"]


def test_shard_is_limited_by_records_and_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "MAX_RECORDS", 3)
    monkeypatch.setattr(shards, "MAX_BYTES", 100)
    sizes = {"a": 60, "b": 40, "c": 1, "d": 150, "e": 10, "f": 10, "g": 10, "h": 10, "absent": 0}
    for name, size in sizes.items():
        if size:
            (tmp_path / name).write_bytes(b"x" * size)
    found = list(shards.chunk([Record(name, file=tmp_path / name) for name in sizes]))
    assert ["".join(row.id for row in rows) for rows in found] == ["ab", "c", "d", "efg", "habsent"]


def test_several_shards_equal_one_shard(tmp_path, monkeypatch):
    assert main([*SMALL, f"--out={tmp_path / 'one'}"]) == 0
    monkeypatch.setattr(shards, "MAX_RECORDS", 2)
    assert main([*SMALL, f"--out={tmp_path / 'several'}"]) == 0
    one, several = (tfds.builder_from_directory(tmp_path / out / "phantom" / "2.0.0") for out in ("one", "several"))
    assert one.info.splits["val"].shard_lengths == [5]
    assert several.info.splits["val"].shard_lengths == [2, 2, 1]
    assert one.info.splits["val"].num_bytes == several.info.splits["val"].num_bytes > 0
    for split in one.info.splits:
        ids = [[record["id"] for record in builder.as_data_source(split)] for builder in (one, several)]
        assert ids[0] == ids[1] and len(ids[0]) == 5
    assert len(list((tmp_path / "several" / "phantom" / "2.0.0").glob("*.array_record*"))) == 9


def test_shard_without_a_readable_radiograph_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "MAX_RECORDS", 2)
    for name in "aef":
        save_image(tmp_path / f"{name}.png")
    table = tmp_path / "table.csv"
    table.write_text("path,label,split\n" + "".join(f"{name}.png,viral,train\n" for name in "abcdef"))
    assert main(["table", f"--csv={table}", f"--out={tmp_path}", "--duplicates=off"]) == 0
    folder = tmp_path / "table" / "2.0.0"
    builder = tfds.builder_from_directory(folder)
    assert builder.info.splits["train"].shard_lengths == [1, 2]
    assert [record["id"] for record in builder.as_data_source("train")] == [b"a.png", b"e.png", b"f.png"]
    assert len([path for path in folder.iterdir() if "train" in path.name]) == 2
    report = json.loads((folder / "report.json").read_text())
    assert [entry["name"] for entry in report["skipped"]] == ["b.png", "c.png", "d.png"]
    assert report["counts"] == {"train": {"viral": 3}}


def test_memory_does_not_depend_on_the_size_of_the_shard(tmp_path):
    def read(row: Record) -> Example:
        if row.id == "3":
            raise RecordError("not a radiograph")
        return Example(row.id, row.id, bytes(1 << 20), 1024, 1024, label="viral")

    peaks = []
    for count in (8, 64):
        shard = shards.Shard("train", [Record(str(number)) for number in range(count)], str(tmp_path / "shard"))
        tracemalloc.start()
        written = shards.write_shard(shard, read)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert written.counts == {"viral": count - 1} and written.size > (count - 1) << 20
        assert written.skipped == [{"name": "3", "split": "train", "reason": "not a radiograph"}]
    assert peaks[1] < peaks[0] + (1 << 20)


def test_shard_that_cannot_be_written_is_reported(tmp_path):
    shard = shards.Shard("train", [Record("a")], str(tmp_path / "absent" / "shard"))
    with pytest.raises(PreparationError, match=r"absent/shard: .*No such file or directory$"):
        shards.write_shard(shard, lambda row: Example(row.id, row.id, b"x", 1, 1))


def test_records_read_ahead_are_written_in_order(tmp_path):
    options = PhantomOptions(count=1, size=64)
    records = [*SOURCE.records(tmp_path, options)]
    later_is_read = threading.Event()

    def read_later_one_first(record: Record) -> Example:
        if record is records[0]:
            assert later_is_read.wait(60)
        example = SOURCE.read(record, options)
        if record is records[1]:
            later_is_read.set()
        return example

    alone = shards.Shard("train", records, str(tmp_path / "alone"))
    ahead = shards.Shard("train", records, str(tmp_path / "ahead"))
    written = shards.write_shard(alone, lambda record: SOURCE.read(record, options))
    assert shards.write_shard(ahead, read_later_one_first, num_threads=2) == written
    assert (tmp_path / "ahead").read_bytes() == (tmp_path / "alone").read_bytes()
