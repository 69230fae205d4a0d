"""The ledger of written files: by name and content, across kills and several processes."""

import os

import pytest

from cxrjax.runtime.ledger import Ledger


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "out" / "partial").mkdir(parents=True)
    return tmp_path / "out"


def open_ledger(folder):
    return Ledger(folder, "record.json", folder / "partial")


def write_file(folder, ledger, name, content):
    (folder / "partial" / "begun").write_text(content)
    ledger.place(folder / "partial" / "begun", name)


def test_only_unchanged_files_of_the_ledger_are_replaced_or_removed(folder):
    ledger = open_ledger(folder)
    for name in ("a", "sub/\udce9", "changed", "swapped"):
        write_file(folder, ledger, name, "ours")
    ledger.save()
    for journal in (folder / "partial").iterdir():
        journal.unlink()
    (folder / "changed").write_text("mine")  # as long as it was
    (folder / "swapped").unlink()
    (folder / "swapped").symlink_to(folder / "a")
    (folder / "other").write_text("ours")
    later = open_ledger(folder)
    names = ("a", "sub/\udce9", "changed", "swapped", "other", "none", "a/below")
    assert [later.owns(name) for name in names] == [True, True, False, False, False, False, False]
    assert [later.is_free(name) for name in names] == [True, True, False, False, False, True, False]
    for name in names[:5]:
        later.remove(name)
    left = {path.name for path in folder.iterdir()}
    assert left == {"partial", "record.json", "sub", "changed", "swapped", "other"}


def test_kill_leaves_no_file_without_a_record(folder, monkeypatch):
    """A kill between journal and rename: the older and the newer content are both in the ledger."""
    ledger = open_ledger(folder)
    write_file(folder, ledger, "table", "older")
    ledger.save()
    for journal in (folder / "partial").iterdir():
        journal.unlink()
    again = open_ledger(folder)
    with monkeypatch.context() as killed:
        killed.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            write_file(folder, again, "table", "newer")
    journal = next((folder / "partial").glob("written-*"))
    journal.write_text(journal.read_text() + '["torn", [1')
    last = open_ledger(folder)
    assert (folder / "table").read_text() == "older" and last.owns("table")
    write_file(folder, last, "table", "newer")
    last.save()
    for journal in (folder / "partial").iterdir():
        journal.unlink()
    assert open_ledger(folder).owns("table")
    (folder / "table").write_text("older")  # no longer ours
    assert not open_ledger(folder).owns("table")


def test_file_written_by_another_process_is_in_the_ledger(folder):
    first, second = open_ledger(folder), open_ledger(folder)
    write_file(folder, first, "a", "ours")
    assert second.is_free("a")


def test_foreign_file_named_like_the_record_is_refused(folder):
    for content in ("mine", "[]", "{}", '{"title": "x", "files": {}}'):
        (folder / "record.json").write_text(content)
        with pytest.raises(ValueError, match=r"record.json: is not a record of files that cxrjax wrote"):
            open_ledger(folder)
