"""The record of what was written: by name and content, through kills, and of several processes."""

import os

import pytest

from cxrjax.runtime.ledger import Ledger


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "out" / "partial").mkdir(parents=True)
    return tmp_path / "out"


def begin(folder):
    return Ledger(folder, "record.json", folder / "partial")


def place(folder, ledger, name, content):
    (folder / "partial" / "begun").write_text(content)
    ledger.place(folder / "partial" / "begun", name)


def test_only_what_was_written_and_not_changed_since_is_replaced_or_removed(folder):
    ledger = begin(folder)
    for name in ("a", "sub/\udce9", "changed", "swapped"):
        place(folder, ledger, name, "ours")
    ledger.save()
    for journal in (folder / "partial").iterdir():
        journal.unlink()
    (folder / "changed").write_text("mine")  # as long as it was
    (folder / "swapped").unlink()
    (folder / "swapped").symlink_to(folder / "a")
    (folder / "other").write_text("ours")
    later = begin(folder)
    names = ("a", "sub/\udce9", "changed", "swapped", "other", "none", "a/below")
    assert [later.owns(name) for name in names] == [True, True, False, False, False, False, False]
    assert [later.is_free(name) for name in names] == [True, True, False, False, False, True, False]
    for name in names[:5]:
        later.remove(name)
    left = {path.name for path in folder.iterdir()}
    assert left == {"partial", "record.json", "sub", "changed", "swapped", "other"}


def test_a_kill_leaves_no_file_without_its_record(folder, monkeypatch):
    """Killed after the journal and before the file has its name: both the older and the newer content are ours."""
    ledger = begin(folder)
    place(folder, ledger, "table", "older")
    ledger.save()
    for journal in (folder / "partial").iterdir():
        journal.unlink()
    again = begin(folder)
    with monkeypatch.context() as killed:
        killed.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            place(folder, again, "table", "newer")
    journal = next((folder / "partial").glob("written-*"))
    journal.write_text(journal.read_text() + '["torn", [1')
    last = begin(folder)
    assert (folder / "table").read_text() == "older" and last.owns("table")
    place(folder, last, "table", "newer")
    last.save()
    for journal in (folder / "partial").iterdir():
        journal.unlink()
    assert begin(folder).owns("table")
    (folder / "table").write_text("older")  # no longer ours
    assert not begin(folder).owns("table")


def test_what_another_process_has_just_written_is_ours(folder):
    first, second = begin(folder), begin(folder)
    place(folder, first, "a", "ours")
    assert second.is_free("a")


def test_another_file_in_the_place_of_the_record_is_named(folder):
    for content in ("mine", "[]", "{}", '{"title": "x", "files": {}}'):
        (folder / "record.json").write_text(content)
        with pytest.raises(ValueError, match=r"record.json: is not a record of files that cxrjax wrote"):
            begin(folder)
