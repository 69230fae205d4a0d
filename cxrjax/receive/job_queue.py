"""The durable queue of a receiver: radiographs that were accepted, and results that go back.

Files lie in the folders `radiographs` and `results`, and their states (`states`) in the SQLite database `queue.sqlite`.
A file is flushed to the disk before the transaction that mentions it, and removed after the transaction that forgets
it, so that a process killed at any point leaves at most a file that nothing mentions, which the next start removes.
"""

import os
import re
import secrets
import shutil
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cxrjax.receive.states import TRANSITIONS, RadiographState, ResultState, State
from cxrjax.runtime import atomic_files, lock
from cxrjax.runtime.errors import CxrjaxError
from cxrjax.runtime.formatting import format_count, pick_form

DATABASE = "queue.sqlite"
_RADIOGRAPHS = "radiographs"
_RESULTS = "results"
MAX_ATTEMPTS = 5  # examinations of a radiograph that end the process
MAX_REFUSALS = 8  # of a result by the receiving node, until the next start; about two hours
_FIRST_DELAY = 60  # seconds after the first refusal, twice as many after each further one
_MAX_DELAY = 3600  # seconds
_OWN_NAME = re.compile(r"\.?[0-9a-f]{32}(-\d+)?\.dcm")  # how names of its files begin, also of unfinished ones
_ENDED = (RadiographState.SET_ASIDE, RadiographState.FAILED)  # without results
_NOT_AGAIN = (RadiographState.RECEIVED, RadiographState.EXAMINED, RadiographState.DELIVERED)
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE model (identity TEXT NOT NULL);
CREATE TABLE radiograph (
    id INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    file TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT ''
);
CREATE INDEX radiograph_by_state ON radiograph (state, attempts, id);
CREATE TABLE result (
    id INTEGER PRIMARY KEY,
    radiograph INTEGER NOT NULL REFERENCES radiograph (id),
    uid TEXT NOT NULL UNIQUE,
    file TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    refusals INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT ''
);
CREATE INDEX result_by_state ON result (state, due);
CREATE INDEX result_by_radiograph ON result (radiograph);
"""


class QueueError(CxrjaxError):
    """The folder is no queue, or belongs to another model."""


class QueueFullError(Exception):
    """A limit of the queue is reached; a sender may try again later."""


class QueueLimits(NamedTuple):
    """Limits beyond which no radiograph is accepted."""

    max_radiographs: int = 10_000  # that are not delivered, set aside or failed
    min_free_bytes: int = 2 * 2**30  # of the disk


class Job(NamedTuple):
    """A radiograph to be examined."""

    id: int
    uid: str  # its SOP instance UID
    path: Path


class Result(NamedTuple):
    """A result to be sent."""

    id: int
    radiograph: int
    path: Path


def create_folders(folder: Path) -> None:
    """Create the folders of a queue and an empty database, which only the user may read; existing ones stay.

    Raises:
        QueueError: the folder has other files than those of a queue.
        OSError: they cannot be created.
    """
    path = folder / DATABASE
    if folder.is_dir() and not path.exists():
        others = {entry.name for entry in folder.iterdir()} - {_RADIOGRAPHS, _RESULTS, lock.NAME}
        if others:
            raise QueueError(f"{folder}: has other files than those of a receiver; name another --output")
    for subfolder in (folder, folder / _RADIOGRAPHS, folder / _RESULTS):
        subfolder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its other files these permissions
    atomic_files.sync(folder)


class JobQueue:
    """Queue in a folder. Threads may share it; only one process may open it, which `runtime.lock` sees to."""

    def __init__(self, folder: Path, model_identity: str, limits: QueueLimits | None = None):
        """Open the queue, and remove files that nothing mentions.

        Args:
            folder: a folder that `create_folders` was called for.
            model_identity: what identifies the weights, such as their SHA-256. The results of one queue are of one
                model, since a result's UID is that of its radiograph and model.
            limits: limits of the queue.

        Raises:
            QueueError: the queue is of another model or version, or its database is damaged.
            OSError: the folder cannot be written.
        """
        self._folder = folder
        self._limits = limits or QueueLimits()
        self._radiographs = folder / _RADIOGRAPHS
        self._results = folder / _RESULTS
        self._lock = threading.RLock()
        self._changed = threading.Condition()
        self._database = sqlite3.connect(folder / DATABASE, isolation_level=None, check_same_thread=False)
        try:
            self._open(model_identity)
            self._remove_unmentioned()
        except BaseException as error:
            self._database.close()
            if not isinstance(error, sqlite3.DatabaseError):
                raise
            raise QueueError(f"{folder / DATABASE}: not a database of a receiver; name another --output") from error

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    def wait_for_change(self, seconds: float) -> None:
        """Wait until another thread has changed the queue, at most so many seconds."""
        with self._changed:
            self._changed.wait(seconds)

    def accept(self, uid: str, data: bytes) -> int | None:
        """Store a radiograph; when this returns, it is on disk and will be examined.

        Args:
            uid: its SOP instance UID.
            data: content of a DICOM file.

        Returns:
            Its number; None if it was accepted before and waits, or has results. One that was set aside or failed is
            examined again.

        Raises:
            QueueFullError: a limit is reached.
            OSError: it cannot be written.
        """
        with self._lock:
            known = self._find(uid)
            if known in _NOT_AGAIN:
                return None
            self._check_limits()
        path = self._radiographs / f"{secrets.token_hex(16)}.dcm"
        atomic_files.atomic_write(path, data, private=True)
        former = ""
        with self._transaction():
            known = self._find(uid)  # another thread may have accepted it meanwhile
            if known is None:
                self._database.execute(
                    "INSERT INTO radiograph (uid, file, state) VALUES (?, ?, ?)",
                    (uid, path.name, RadiographState.RECEIVED),
                )
            elif known in _ENDED:
                (number, former) = self._read("SELECT id, file FROM radiograph WHERE uid = ?", uid)[0]
                self._move("radiograph", number, known, RadiographState.RECEIVED)
                self._database.execute(
                    "UPDATE radiograph SET file = ?, attempts = 0, reason = '' WHERE id = ?", (path.name, number)
                )
        if known in _NOT_AGAIN:
            path.unlink()
            return None
        if former:
            (self._radiographs / former).unlink(missing_ok=True)
        return self._read("SELECT id FROM radiograph WHERE uid = ?", uid)[0][0]

    def claim(self) -> Job | None:
        """Return the next radiograph to examine, the least often attempted first; None if there is none.

        The attempt is counted before, so that a radiograph that ends the process is not examined for ever.
        """
        with self._transaction():
            rows = self._read(
                "SELECT id, uid, file, attempts FROM radiograph WHERE state = ? ORDER BY attempts, id LIMIT 1",
                RadiographState.RECEIVED,
            )
            if not rows:
                return None
            (number, uid, file, attempts) = rows[0]
            if attempts >= MAX_ATTEMPTS:
                reason = f"the process ended {MAX_ATTEMPTS} times while it was examined"
                self._end(number, RadiographState.FAILED, reason)
                return self.claim()
            self._database.execute("UPDATE radiograph SET attempts = attempts + 1 WHERE id = ?", (number,))
        return Job(number, uid, self._radiographs / file)

    def complete(self, job: Job, results: Sequence[tuple[str, bytes]]) -> None:
        """Store the results of a radiograph: the SOP instance UID and the content of a DICOM file of each.

        Raises:
            OSError: they cannot be written.
        """
        paths = [self._results / f"{job.path.stem}-{index}.dcm" for index in range(1, len(results) + 1)]
        for path, (_, data) in zip(paths, results, strict=True):
            atomic_files.atomic_write(path, data, private=True)
        with self._transaction():
            self._move("radiograph", job.id, RadiographState.RECEIVED, RadiographState.EXAMINED)
            for path, (uid, _) in zip(paths, results, strict=True):
                self._database.execute(
                    "INSERT INTO result (radiograph, uid, file, state) VALUES (?, ?, ?, ?)",
                    (job.id, uid, path.name, ResultState.WAITING),
                )

    def set_aside(self, job: Job, reason: str) -> None:
        """Store the reason why a radiograph is not examined."""
        with self._transaction():
            self._end(job.id, RadiographState.SET_ASIDE, reason)

    def fail(self, job: Job, reason: str) -> None:
        """Store the reason why the examination of a radiograph ended without results."""
        with self._transaction():
            self._end(job.id, RadiographState.FAILED, reason)

    def list_due(self, count: int) -> list[Result]:
        """Return waiting results that may be sent now, those of the first radiograph first."""
        rows = self._read(
            "SELECT id, radiograph, file FROM result WHERE state = ? AND due <= ? ORDER BY radiograph, id LIMIT ?",
            ResultState.WAITING,
            time.time(),
            count,
        )
        return [Result(number, radiograph, self._results / file) for number, radiograph, file in rows]

    def mark_sent(self, result: Result) -> None:
        """Record that the receiving node has stored a result; remove the files once all results are sent."""
        with self._transaction():
            self._move("result", result.id, ResultState.WAITING, ResultState.SENT)
            unsent = self._read(
                "SELECT 1 FROM result WHERE radiograph = ? AND state != ?", result.radiograph, ResultState.SENT
            )
            if unsent:
                return
            self._move("radiograph", result.radiograph, RadiographState.EXAMINED, RadiographState.DELIVERED)
            files = [
                self._radiographs / self._read("SELECT file FROM radiograph WHERE id = ?", result.radiograph)[0][0]
            ]
            rows = self._read("SELECT file FROM result WHERE radiograph = ?", result.radiograph)
            files += [self._results / file for (file,) in rows]
        for path in files:
            path.unlink(missing_ok=True)

    def mark_refused(self, result: Result, reason: str) -> bool:
        """Record that the receiving node refused a result; return whether it will be tried again by this process."""
        with self._transaction():
            ((refusals,),) = self._read("SELECT refusals + 1 FROM result WHERE id = ?", result.id)
            due = time.time() + min(_FIRST_DELAY * 2 ** (refusals - 1), _MAX_DELAY)
            self._database.execute(
                "UPDATE result SET refusals = ?, due = ?, reason = ? WHERE id = ?", (refusals, due, reason, result.id)
            )
            if refusals >= MAX_REFUSALS:
                self._move("result", result.id, ResultState.WAITING, ResultState.UNDELIVERABLE)
        return refusals < MAX_REFUSALS

    def retry_refused(self) -> None:
        """Make every refused result due now."""
        with self._transaction():
            for (number,) in self._read("SELECT id FROM result WHERE state = ?", ResultState.UNDELIVERABLE):
                self._move("result", number, ResultState.UNDELIVERABLE, ResultState.WAITING)
            self._database.execute(
                "UPDATE result SET refusals = 0, due = 0 WHERE state = ? AND refusals > 0", (ResultState.WAITING,)
            )

    def count(self) -> Counter[str]:
        """Return the number of radiographs and of results by state."""
        rows = self._read("SELECT state, count(*) FROM radiograph GROUP BY state")
        rows += self._read("SELECT state, count(*) FROM result GROUP BY state")
        return Counter({state: number for state, number in rows})

    def _open(self, model_identity: str) -> None:
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")  # a transaction is on the disk when it ends
        with self._transaction():
            ((version,),) = self._read("PRAGMA user_version")
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    self._database.execute(statement)
                self._database.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
                self._database.execute("INSERT INTO model VALUES (?)", (model_identity,))
            elif version != _SCHEMA_VERSION:
                raise QueueError(f"{self._folder}: is the queue of another version of cxrjax; name another --output")
            if self._read("SELECT identity FROM model") != [(model_identity,)]:
                raise QueueError(f"{self._folder}: is the queue of another model; name another --output")

    def _remove_unmentioned(self) -> None:
        """Remove files of delivered radiographs, and those that a killed process left unfinished."""
        undelivered = "SELECT file FROM radiograph WHERE state != ?"
        unsent = "SELECT file FROM result WHERE radiograph IN (SELECT id FROM radiograph WHERE state != ?)"
        for folder, query in ((self._radiographs, undelivered), (self._results, unsent)):
            mentioned = {file for (file,) in self._read(query, RadiographState.DELIVERED)}
            for path in folder.iterdir():
                if _OWN_NAME.match(path.name) and path.name not in mentioned:
                    path.unlink()

    def _find(self, uid: str) -> RadiographState | None:
        rows = self._read("SELECT state FROM radiograph WHERE uid = ?", uid)
        return RadiographState(rows[0][0]) if rows else None

    def _check_limits(self) -> None:
        ((number,),) = self._read(
            "SELECT count(*) FROM radiograph WHERE state IN (?, ?)", RadiographState.RECEIVED, RadiographState.EXAMINED
        )
        if number >= self._limits.max_radiographs:
            raise QueueFullError(f"{format_count(number, 'radiograph')} {pick_form(number, 'waits', 'wait')}")
        if shutil.disk_usage(self._folder).free < self._limits.min_free_bytes:
            raise QueueFullError("the disk is almost full")

    def _end(self, number: int, state: RadiographState, reason: str) -> None:
        self._move("radiograph", number, RadiographState.RECEIVED, state)
        self._database.execute("UPDATE radiograph SET reason = ? WHERE id = ?", (reason, number))

    def _move(self, table: str, number: int, old: State, new: State) -> None:
        """Move a row from one state to another."""
        if new not in TRANSITIONS[old]:
            raise AssertionError(f"{table}: no transition from {old} to {new}")
        moved = self._database.execute(
            f"UPDATE {table} SET state = ? WHERE id = ? AND state = ?", (new, number, old)
        ).rowcount
        if moved != 1:
            raise AssertionError(f"{table} {number}: not {old}")

    def _read(self, query: str, *values: object) -> list[tuple]:
        with self._lock:
            return self._database.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Run a block as one transaction, on the disk when it ends; a block inside another is part of it."""
        with self._lock:
            if self._database.in_transaction:
                yield
                return
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
        with self._changed:
            self._changed.notify_all()
