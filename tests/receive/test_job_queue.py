"""The queue: no accepted radiograph is lost and no UID is sent with two contents, even if the process is killed."""

import os
import sqlite3
import stat
import threading
from functools import partial

import pytest

from cxrjax.receive import job_queue
from cxrjax.receive.job_queue import JobQueue, QueueError, QueueFullError, QueueLimits
from cxrjax.receive.states import TRANSITIONS, RadiographState, ResultState
from cxrjax.runtime import atomic_files

UIDS = ("1.2.1", "1.2.2")


# A state and those that follow from it, as the documentation has them.
DOCUMENTED = {
    "received": {"examined", "set aside", "failed"},
    "examined": {"delivered"},
    "set aside": {"received"},
    "failed": {"received"},
    "waiting": {"sent", "undeliverable"},
    "undeliverable": {"waiting"},
}


class Killed(BaseException):
    """Stands for the end of the process."""


class KillSwitch:
    """Raises `Killed` at one of the points before and after the writes."""

    def __init__(self):
        self.remaining = None

    def point(self):
        if self.remaining is not None:
            self.remaining -= 1
            if self.remaining < 0:
                raise Killed


class KillableConnection(sqlite3.Connection):
    switch: KillSwitch

    def execute(self, statement, *values):
        if statement != "COMMIT":
            return super().execute(statement.replace("synchronous = FULL", "synchronous = OFF"), *values)
        self.switch.point()
        cursor = super().execute(statement, *values)
        self.switch.point()
        return cursor


@pytest.fixture
def switch(monkeypatch):
    """A switch whose points are before and after each write, removal and commit."""
    switch = KillSwitch()
    write = atomic_files.atomic_write
    unlink = job_queue.Path.unlink

    def killable_write(path, data, private):
        switch.point()
        write(path, data, private)
        switch.point()

    def killable_unlink(path, missing_ok=False):
        if path.suffix == ".dcm":
            switch.point()
        unlink(path, missing_ok)

    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # tests need not wait for the disk
    monkeypatch.setattr(KillableConnection, "switch", switch, raising=False)
    monkeypatch.setattr(job_queue.sqlite3, "connect", partial(sqlite3.connect, factory=KillableConnection))
    monkeypatch.setattr(job_queue.atomic_files, "atomic_write", killable_write)
    monkeypatch.setattr(job_queue.Path, "unlink", killable_unlink)
    return switch


def open_queue(folder, **limits):
    job_queue.create_folders(folder)
    return JobQueue(folder, "model", QueueLimits(**({"min_free_bytes": 0} | limits)))


def results_of(job):
    return [(f"{job.uid}.{index}", job.path.read_bytes() + bytes([index])) for index in range(3)]


def files(folder):
    return sorted(path.name for name in ("radiographs", "results") for path in (folder / name).iterdir())


def process(queue, accepted, node):
    """Accept, examine and send in turns, as a receiver does; `node` gets the results."""
    for uid in UIDS:
        if uid not in accepted:
            queue.accept(uid, uid.encode())
            accepted.add(uid)
        job = queue.claim()
        if job:
            queue.complete(job, results_of(job))
        for result in queue.list_due(2):
            node.append(result.path.read_bytes())
            queue.mark_sent(result)
    while job := queue.claim():
        queue.complete(job, results_of(job))
    while due := queue.list_due(10):
        for result in due:
            node.append(result.path.read_bytes())
            queue.mark_sent(result)


@pytest.mark.parametrize("second_kill", [None, 7])
def test_results_of_accepted_radiographs_are_sent_after_any_kill(tmp_path, switch, second_kill):
    for kill_at in range(200):
        folder = tmp_path / f"{kill_at}"
        queue = open_queue(folder)
        accepted = set()
        node = []
        was_killed = False
        for remaining in (kill_at, second_kill, None):
            switch.remaining = remaining
            try:
                process(queue, accepted, node)
            except Killed:
                was_killed = True
            switch.remaining = None
            queue.close()
            queue = open_queue(folder)
        counts = queue.count()
        assert counts == {RadiographState.DELIVERED: 2, ResultState.SENT: 6}
        assert set(node) == {uid.encode() + bytes([index]) for uid in UIDS for index in range(3)}
        assert len(node) <= 6 + 2  # a kill between sending and commit sends the same object again
        assert files(folder) == []
        queue.close()
        if not was_killed:
            assert kill_at > 40  # points of the work
            return
    pytest.fail("the work has more points than were tried")


def test_transitions_equal_the_documented_ones():
    assert {str(old): set(map(str, new)) for old, new in TRANSITIONS.items() if new} == DOCUMENTED
    assert set(TRANSITIONS) == {*RadiographState, *ResultState}


def test_accepted_radiograph_is_flushed_to_disk_before_the_answer(tmp_path, monkeypatch):
    flushed = []
    fsync = os.fsync

    def record(descriptor):
        flushed.append(os.readlink(f"/proc/self/fd/{descriptor}").rpartition("/")[2])
        fsync(descriptor)

    queue = open_queue(tmp_path)
    monkeypatch.setattr(os, "fsync", record)
    queue.accept("1.2.3", b"content")
    assert [name.endswith(".tmp") for name in flushed] == [True, False]  # the file, then its name in the folder
    assert flushed[1] == "radiographs"
    assert queue._read("PRAGMA synchronous") == [(2,)]  # FULL: SQLite flushes each transaction
    assert queue._read("PRAGMA journal_mode") == [("wal",)]


@pytest.fixture
def queue(tmp_path, switch):
    queue = open_queue(tmp_path / "queue")
    yield queue
    queue.close()


def test_files_are_private_and_their_names_are_random(tmp_path, queue):
    queue.accept("1.2.840.99", b"content")
    paths = [path for path in (tmp_path / "queue").rglob("*") if path.is_file()]
    assert len(paths) >= 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}
    assert not [path for path in paths if "2.840" in path.name]  # random names have no dot before their ending


def test_radiograph_sent_twice_is_accepted_and_examined_once(queue):
    assert queue.accept("1.2.3", b"content") == 1
    assert queue.accept("1.2.3", b"content") is None
    job = queue.claim()
    queue.complete(job, results_of(job))
    assert queue.accept("1.2.3", b"content") is None
    assert queue.count() == {RadiographState.EXAMINED: 1, ResultState.WAITING: 3}


def test_one_of_simultaneous_copies_is_stored(queue, tmp_path):
    numbers = []
    threads = [threading.Thread(target=lambda: numbers.append(queue.accept("1.2.3", b"content"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers, key=str) == [1] + [None] * 7
    assert len(files(tmp_path / "queue")) == 1


@pytest.mark.parametrize("end", [JobQueue.fail, JobQueue.set_aside])
def test_failed_or_set_aside_radiograph_is_examined_if_sent_again(queue, tmp_path, end):
    queue.accept("1.2.3", b"content")
    end(queue, queue.claim(), "a reason")
    assert queue.claim() is None
    assert queue.accept("1.2.3", b"other") == 1
    assert queue.claim().path.read_bytes() == b"other"
    assert len(files(tmp_path / "queue")) == 1


def test_radiograph_that_crashes_the_process_is_tried_last_and_fails(tmp_path, switch):
    folder = tmp_path / "queue"
    queue = open_queue(folder)
    queue.accept("1.2.1", b"deadly")
    order = []
    for start in range(job_queue.MAX_ATTEMPTS + 1):
        job = queue.claim()
        order.append(job and job.uid)
        if start == 0:
            queue.accept("1.2.2", b"harmless")
        queue.close()  # killed
        queue = open_queue(folder)
        if job and job.uid == "1.2.2":
            queue.set_aside(job, "lateral")
    assert order == ["1.2.1", "1.2.2"] + ["1.2.1"] * 4
    assert queue.claim() is None
    assert queue.count() == {RadiographState.FAILED: 1, RadiographState.SET_ASIDE: 1}
    assert "5 times" in queue._read("SELECT reason FROM radiograph WHERE id = 1")[0][0]
    queue.close()


def test_set_aside_radiograph_is_stored_with_its_reason(queue, tmp_path):
    queue.accept("1.2.3", b"content")
    job = queue.claim()
    queue.set_aside(job, "lateral view, by its ViewPosition")
    queue.close()
    reopened = open_queue(tmp_path / "queue")
    assert job.path.read_bytes() == b"content"
    assert reopened._read("SELECT state, reason FROM radiograph") == [
        ("set aside", "lateral view, by its ViewPosition")
    ]
    reopened.close()


def test_refused_result_waits_longer_each_time_until_the_next_start(queue, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(job_queue.time, "time", lambda: clock[0])
    queue.accept("1.2.3", b"content")
    job = queue.claim()
    queue.complete(job, [("1.2.3.1", b"result")])
    waits = []
    while due := queue.list_due(1):
        start = clock[0]
        if not queue.mark_refused(due[0], "status A900"):
            break
        while not queue.list_due(1):
            clock[0] += 60
        waits.append(clock[0] - start)
    assert waits == [60, 120, 240, 480, 960, 1920, 3600]
    assert queue.count() == {RadiographState.EXAMINED: 1, ResultState.UNDELIVERABLE: 1}
    clock[0] += 1e6
    assert queue.list_due(1) == []
    queue.retry_refused()
    assert len(queue.list_due(1)) == 1


def test_full_queue_or_disk_refuses_new_radiographs(tmp_path, switch):
    queue = open_queue(tmp_path / "small", max_radiographs=1)
    queue.accept("1.2.3", b"content")
    with pytest.raises(QueueFullError, match="1 radiograph waits"):
        queue.accept("1.2.4", b"content")
    assert queue.accept("1.2.3", b"content") is None  # stored already
    queue.set_aside(queue.claim(), "lateral")
    assert queue.accept("1.2.4", b"content") == 2
    queue.close()
    queue = open_queue(tmp_path / "full", min_free_bytes=2**62)
    with pytest.raises(QueueFullError, match="disk"):
        queue.accept("1.2.3", b"content")
    queue.close()


def test_a_folder_of_another_model_or_of_other_files_is_refused(tmp_path, queue):
    with pytest.raises(QueueError, match="another model"):
        JobQueue(tmp_path / "queue", "other model")
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").touch()
    with pytest.raises(QueueError, match="other files"):
        job_queue.create_folders(other)
    assert [path.name for path in other.iterdir()] == ["thesis.txt"]


def test_transition_from_a_wrong_state_is_refused(queue):
    queue.accept("1.2.3", b"content")
    job = queue.claim()
    queue.set_aside(job, "lateral")
    with pytest.raises(AssertionError, match="not received"):
        queue.complete(job, results_of(job))
    assert queue.count() == {RadiographState.SET_ASIDE: 1}


def test_foreign_files_in_the_folders_are_not_removed(tmp_path, queue):
    queue.close()
    for name in ("notes.txt", "0123.dcm", f"{'a' * 32}.dcm", f".{'a' * 32}-1.dcm.{'b' * 16}.tmp"):
        (tmp_path / "queue" / "results" / name).touch()
    open_queue(tmp_path / "queue").close()
    assert files(tmp_path / "queue") == ["0123.dcm", "notes.txt"]
