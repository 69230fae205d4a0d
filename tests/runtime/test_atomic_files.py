"""A file is written completely or stays as it was."""

import errno
import os
import secrets

import pytest

from cxrjax.runtime import atomic_files


def test_atomic_write_replaces_the_content(tmp_path):
    for data in (b"old", b"", b"new \xff\x00"):
        atomic_files.atomic_write(tmp_path / "a.csv", data)
        assert (tmp_path / "a.csv").read_bytes() == data
    assert os.listdir(tmp_path) == ["a.csv"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    atomic_files.atomic_write(tmp_path / "a.csv", b"old")

    def fill(descriptor: int) -> None:
        os.truncate(descriptor, 2)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", fill)
        with pytest.raises(OSError, match="No space left"):
            atomic_files.atomic_write(tmp_path / "a.csv", b"newer")
    assert (tmp_path / "a.csv").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.csv"]


def test_names_of_maximum_length_can_be_written(tmp_path):
    for name in ("x" * 255, "肺" * 85):
        atomic_files.atomic_write(tmp_path / name, b"data")
        assert (tmp_path / name).read_bytes() == b"data"


def test_kill_before_the_rename_leaves_the_old_file(tmp_path, monkeypatch):
    atomic_files.atomic_write(tmp_path / "a.csv", b"old")

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        atomic_files.atomic_write(tmp_path / "a.csv", b"new")
    assert (tmp_path / "a.csv").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.csv"]


def test_atomic_dir_has_its_name_only_when_complete(tmp_path, monkeypatch):
    for name in ("new", "deep/new", "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with atomic_files.atomic_dir(tmp_path / name) as folder:
            (folder / "a").write_text("a")
            assert not (tmp_path / name / "a").exists()
        assert os.listdir(tmp_path / name) == ["a"]
    with pytest.raises(KeyboardInterrupt), atomic_files.atomic_dir(tmp_path / "other") as folder:
        (folder / "a").write_text("a")
        raise KeyboardInterrupt
    for name in ("new", "new/a"):
        refused = pytest.raises(FileExistsError, match=f"{name}: already exists")
        with refused, atomic_files.atomic_dir(tmp_path / name):
            pass
    assert sorted(os.listdir(tmp_path)) == ["deep", "empty", "new"]
    (tmp_path / ".other.1234.tmp").mkdir()  # an existing folder belongs to another process and is not removed
    monkeypatch.setattr(secrets, "token_hex", lambda _: "1234")
    with pytest.raises(FileExistsError), atomic_files.atomic_dir(tmp_path / "other"):
        pass
    assert (tmp_path / ".other.1234.tmp").is_dir() and (tmp_path / "new" / "a").read_text() == "a"
