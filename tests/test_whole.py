"""A file is there whole, or as it was before."""

import errno
import os
from pathlib import Path

import pytest

from cxrjax import whole


def test_the_newer_content_replaces_the_older(tmp_path):
    for data in (b"old", b"", b"new \xff\x00"):
        whole.write(tmp_path / "a.csv", data)
        assert (tmp_path / "a.csv").read_bytes() == data
    assert os.listdir(tmp_path) == ["a.csv"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    whole.write(tmp_path / "a.csv", b"old")

    def fill(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(data[:2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as full:
        full.setattr(Path, "write_bytes", fill)
        with pytest.raises(OSError, match="No space left"):
            whole.write(tmp_path / "a.csv", b"newer")
    assert (tmp_path / "a.csv").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.csv"]


def test_a_kill_before_the_last_act_leaves_the_old_file(tmp_path, monkeypatch):
    whole.write(tmp_path / "a.csv", b"old")

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        whole.write(tmp_path / "a.csv", b"new")
    assert (tmp_path / "a.csv").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.csv"]
