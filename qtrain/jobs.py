"""JobLedger: the durable list of a run's jobs, and of every result that was paid for."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from qtrain.chip.faults import TOO_LONG
from qtrain.chip.types import Array, JobRecord, JobState, JobStatus
from qtrain.database import Database
from qtrain.errors import JobError, RunError

APPLICATION = 0x516F6E63  # "Qonc", in the header of the file
FORMAT = 1
OPEN = ("intent", "submitted")
FAILED = ("failed", "cancelled", "abandoned")
_CHUNK = 500  # hashes a query: SQLite takes 999 values in its oldest versions
_COLUMNS = tuple(f.name for f in fields(JobRecord))

_SCHEMA = """
CREATE TABLE run (id TEXT NOT NULL);
INSERT INTO run VALUES (lower(hex(randomblob(8))));
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY, tag TEXT NOT NULL UNIQUE, content TEXT NOT NULL, state TEXT NOT NULL,
    step INTEGER NOT NULL, backend TEXT NOT NULL, calibration TEXT NOT NULL, circuits INTEGER NOT NULL,
    executions INTEGER NOT NULL, predicted REAL NOT NULL, charged REAL, job_id TEXT NOT NULL,
    attempt INTEGER NOT NULL, message TEXT NOT NULL, created_at TEXT NOT NULL, time_limit INTEGER,
    evaluation INTEGER NOT NULL);
CREATE INDEX jobs_content ON jobs (content);
CREATE TABLE duplicates (
    number INTEGER PRIMARY KEY, tag TEXT NOT NULL REFERENCES jobs (tag), job_id TEXT NOT NULL UNIQUE,
    predicted REAL NOT NULL, charged REAL, message TEXT NOT NULL, created_at TEXT NOT NULL);
CREATE TABLE results (
    point TEXT PRIMARY KEY, shots INTEGER NOT NULL, float64 BLOB NOT NULL, digest BLOB NOT NULL,
    tag TEXT NOT NULL REFERENCES jobs (tag)) WITHOUT ROWID;
CREATE TABLE seen (
    tag TEXT PRIMARY KEY REFERENCES jobs (tag), at TEXT NOT NULL, state TEXT NOT NULL, queue_position INTEGER);
CREATE TABLE calibrations (sha256 TEXT PRIMARY KEY, device TEXT NOT NULL);
CREATE TABLE events (number INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL);
"""
_WAY_OUT = (
    "It says what was paid for: restore it from a backup, or train anew in another run directory; "
    "cancel what may still be queued at the service's own console."
)


class Spent(NamedTuple):
    """What the jobs of a run came to at the service.

    Attributes:
        executions: of the jobs that are done or under way.
        seconds: QPU seconds of every job and duplicate, failed ones too: as charged where that is known, else as
            predicted. A job that ended without ever having had an id never reached the service and counts nothing.
        jobs: that reached the service or may have, duplicates not counted.
        duplicates: further jobs under the tag of another.
    """

    executions: int
    seconds: float
    jobs: int
    duplicates: int


class Duplicate(NamedTuple):
    """A further job under a tag, which was cancelled."""

    tag: str
    job_id: str
    predicted: float
    charged: float | None
    message: str
    created_at: str


class JobLedger:
    """Every job of a run and every result that was paid for, on disk before anything depends on it.

    A method that returns has written, so the row of an intent survives SIGKILL and a power cut before the job is sent.
    Other processes may read the file, and write in turn, at any time.

    Args:
        path: the file; made if it is not there. None: in memory.

    Attributes:
        run_id: random, made with the file; part of every tag.

    Raises: RunError: the file is damaged or not a job ledger. StorageError, also from every method: the disk does not
        take or give what it should, or another process holds the file for 30 s.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self._begin(None if path is None else Path(path), writes=True)

    @classmethod
    def read(cls, path: str | Path) -> JobLedger:
        """Opens a ledger only to read it, from any process, while another one writes.

        Raises: RunError: no such file, or it is damaged.
        """
        self = cls.__new__(cls)
        self._begin(Path(path), writes=False)
        return self

    def _begin(self, path: Path | None, *, writes: bool) -> None:
        self._file = Database(
            path, schema=_SCHEMA, application=APPLICATION, version=FORMAT, way_out=_WAY_OUT, writes=writes
        )
        rows = self._file.select("SELECT id FROM run")
        if len(rows) != 1:
            self._file.refuse("the id of the run is missing")
        self.run_id = str(rows[0][0])

    @property
    def path(self) -> Path | None:
        """The file; None in memory."""
        return self._file.path

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()

    def __enter__(self) -> JobLedger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- a job's life

    def intend(self, job: JobRecord) -> None:
        """Writes down a job that is about to be sent, as state "intent"; `created_at` becomes now unless it is given.

        Raises: RunError: its tag has been used; the service could not tell the two apart.
        """
        row = replace(job, state="intent", created_at=job.created_at or _now())
        with self._file.transaction() as db:
            if db.execute("SELECT 1 FROM jobs WHERE tag = ?", (job.tag,)).fetchone():
                raise RunError(
                    f"{self._file.name}: tag {job.tag} has been used. Expected a tag of its own for every attempt."
                )
            db.execute(
                f"INSERT INTO jobs ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})", astuple(row)
            )

    def submitted(self, tag: str, job_id: str) -> None:
        """The service has taken it, under this id. Raises: RunError: no such job, or it has ended."""
        with self._file.transaction() as db:
            state = self._state(tag)
            if state not in OPEN:
                raise RunError(f"{self._file.name}: job {tag} is {state}. Expected one of {', '.join(OPEN)}.")
            _update(db, tag, state="submitted", job_id=job_id)

    def done(self, tag: str, results: Iterable[tuple[str, int, Array]], charged: float | None = None) -> None:
        """Its results, (hash of the point, shots granted, values [value]) each, and state "done": all or nothing.

        A point that is known keeps its first result, for that may have been used already.

        Raises: RunError: no such job. JobError: values that are not finite float64 in one axis, or shots below 1.
        """
        with self._file.transaction() as db:
            self._state(tag)
            rows = ((point, int(shots), _blob(point, shots, values)) for point, shots, values in results)
            db.executemany(
                "INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?, ?)",
                ((point, shots, blob, _digest(point, shots, blob), tag) for point, shots, blob in rows),
            )
            _update(db, tag, state="done", message="", **({} if charged is None else {"charged": charged}))

    def failed(self, tag: str, state: str, message: str, charged: float | None = None) -> None:
        """It ended without results: "failed", "cancelled", or "abandoned" where it will not be waited for.

        Raises: RunError: no such job, or it is done.
        """
        if state not in FAILED:
            raise RunError(f"state = {state!r}. Expected one of {', '.join(FAILED)}.")
        with self._file.transaction() as db:
            if self._state(tag) == "done":
                raise RunError(
                    f"{self._file.name}: job {tag} is done, its results are kept. Expected one without results."
                )
            _update(db, tag, state=state, message=message, **({} if charged is None else {"charged": charged}))

    def duplicate(self, tag: str, job_id: str, message: str) -> None:
        """Another job was found under the same tag; counts as dear as its twin until its charge is known."""
        with self._file.transaction() as db:
            self._state(tag)
            db.execute(
                "INSERT OR IGNORE INTO duplicates (tag, job_id, predicted, message, created_at) "
                "SELECT tag, ?, predicted, ?, ? FROM jobs WHERE tag = ?",
                (job_id, message, _now(), tag),
            )

    def seen(self, tag: str, status: JobStatus) -> None:
        """How a job was last found at the service, for `qtrain status`; written only where it has changed."""
        found = (status.state.value, status.queue_position)
        if self._file.select("SELECT state, queue_position FROM seen WHERE tag = ?", (tag,)) == [found]:
            return
        with self._file.transaction() as db:
            self._state(tag)
            db.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?)", (tag, _now(), *found))

    def charged(self, tag: str, seconds: float, *, job_id: str = "") -> None:
        """The service's final figure, QPU seconds; `job_id`: of a duplicate under that tag, instead of the job."""
        with self._file.transaction() as db:
            self._state(tag)
            twin = db.execute(
                "UPDATE duplicates SET charged = ? WHERE tag = ? AND job_id = ?", (float(seconds), tag, job_id)
            ).rowcount
            if not twin:
                _update(db, tag, charged=float(seconds))

    def keep_calibration(self, sha256: str, device: str) -> None:
        """A device's calibration (JSON) that jobs are compiled for, so that a step can be finished on it."""
        if not self._file.select("SELECT 1 FROM calibrations WHERE sha256 = ?", (sha256,)):
            with self._file.transaction() as db:
                db.execute("INSERT INTO calibrations VALUES (?, ?)", (sha256, device))

    def event(self, kind: str, text: str) -> None:
        """Something that was said on the console: outage, duplicate, resubmission, recompilation, ..."""
        with self._file.transaction() as db:
            db.execute("INSERT INTO events (at, kind, text) VALUES (?, ?, ?)", (_now(), kind, text))

    # --- what it knows

    def known(self, hashes: Sequence[str]) -> dict[str, tuple[int, Array]]:
        """Hash of a point -> (shots granted, values [value], read-only), of those that are known.

        Raises: RunError: a result is not what was written.
        """
        found: dict[str, tuple[int, Array]] = {}
        for part, marks in _chunks(hashes):
            query = f"SELECT point, shots, float64, digest FROM results WHERE point IN ({marks})"
            for point, shots, blob, digest in self._file.select(query, part):
                if _digest(point, shots, blob) != digest:
                    self._file.refuse(f"the result of point {point} is not what was written")
                found[point] = (shots, np.frombuffer(blob, "<f8").astype(np.float64, copy=False))
        return found

    def paid_by(self, hashes: Sequence[str]) -> list[JobRecord]:
        """The jobs that the results of these points came from, in the order in which they were intended."""
        tags = set()
        for part, marks in _chunks(hashes):
            tags |= {
                tag for (tag,) in self._file.select(f"SELECT DISTINCT tag FROM results WHERE point IN ({marks})", part)
            }
        return [job for job in self.jobs() if job.tag in tags]

    def jobs(self) -> list[JobRecord]:
        """Every job, in the order in which they were intended."""
        rows = self._file.select(f"SELECT {', '.join(_COLUMNS)} FROM jobs ORDER BY number")
        return [JobRecord(*row) for row in rows]

    def open_jobs(self) -> list[JobRecord]:
        """The jobs in state "intent" or "submitted": what the service may still hold."""
        return [job for job in self.jobs() if job.state in OPEN]

    def begun_on(self, step: int) -> tuple[str, str] | None:
        """(sha256, device as JSON) of the calibration that the jobs of a step were compiled for.

        None: nothing of the step is paid for or under way there, or it has been given up there.
        """
        # one that took too long has been sent, or will be, as two of another content
        jobs = [job for job in self.jobs() if job.step == step and not job.message.startswith(str(TOO_LONG))]
        # an evaluation may have had to move on to another calibration; its step is done all the same
        jobs = [job for job in jobs if not job.evaluation] or jobs
        jobs = [job for job in jobs if job.calibration == jobs[-1].calibration]
        ends = {job.content: job.state for job in jobs}.values()
        if all(state in FAILED for state in ends) or "abandoned" in ends:
            return None
        found = self._file.select("SELECT sha256, device FROM calibrations WHERE sha256 = ?", (jobs[-1].calibration,))
        return (str(found[0][0]), str(found[0][1])) if found else None

    def duplicates(self) -> list[Duplicate]:
        """The further jobs that were found under a tag."""
        columns = ", ".join(Duplicate._fields)
        return [Duplicate(*row) for row in self._file.select(f"SELECT {columns} FROM duplicates ORDER BY number")]

    def last_seen(self) -> dict[str, tuple[str, JobStatus]]:
        """Tag -> (time, status) as the service last said it; UTC, ISO."""
        rows = self._file.select("SELECT tag, at, state, queue_position FROM seen")
        return {tag: (at, JobStatus(JobState(state), queue_position=place)) for tag, at, state, place in rows}

    def attempts(self, content: str) -> int:
        """How many jobs of this content have ended without results: the number of the next attempt."""
        return sum(job.state in FAILED for job in self.jobs() if job.content == content)

    def uncharged(self) -> list[tuple[str, str]]:
        """(tag, id) of the jobs and duplicates that have ended, and whose charge is not known yet."""
        ended = [(j.tag, j.job_id) for j in self.jobs() if j.state not in OPEN and j.job_id and j.charged is None]
        return ended + [(d.tag, d.job_id) for d in self.duplicates() if d.charged is None]

    def events(self) -> list[tuple[str, str, str]]:
        """(time, kind, text), the oldest first; times are UTC, ISO."""
        rows = self._file.select("SELECT at, kind, text FROM events ORDER BY number")
        return [(at, kind, text) for at, kind, text in rows]

    def spent(self) -> Spent:
        """What all of it came to."""
        jobs = [job for job in self.jobs() if job.job_id or job.state not in FAILED or job.charged is not None]
        twins = self.duplicates()
        dues = [(j.predicted, j.charged) for j in jobs] + [(d.predicted, d.charged) for d in twins]
        return Spent(
            executions=sum(job.executions for job in jobs if job.state not in FAILED),
            seconds=sum(predicted if charged is None else charged for predicted, charged in dues),
            jobs=len(jobs),
            duplicates=len(twins),
        )

    def _state(self, tag: str) -> str:
        rows = self._file.select("SELECT state FROM jobs WHERE tag = ?", (tag,))
        if not rows:
            raise RunError(f"{self._file.name}: no job has tag {tag}. Expected one that was intended before.")
        return str(rows[0][0])


def _update(db: sqlite3.Connection, tag: str, **values: Any) -> None:
    changes = ", ".join(f"{name} = ?" for name in values)
    db.execute(f"UPDATE jobs SET {changes} WHERE tag = ?", (*values.values(), tag))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _chunks(hashes: Sequence[str]) -> Iterator[tuple[list[str], str]]:
    """Distinct hashes, some at a time, and as many question marks."""
    distinct = list(dict.fromkeys(hashes))
    for start in range(0, len(distinct), _CHUNK):
        part = distinct[start : start + _CHUNK]
        yield part, ", ".join("?" * len(part))


def _blob(point: str, shots: int, values: Array) -> bytes:
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype != np.float64 or not np.isfinite(array).all() or shots < 1:
        raise JobError(
            f"the result of point {point} has shape {array.shape}, dtype {array.dtype} and {shots} shots. "
            "Expected finite float64 values in one axis, from 1 shot or more."
        )
    return array.astype("<f8").tobytes()


def _digest(point: str, shots: int, blob: bytes) -> bytes:
    return hashlib.blake2b(f"{point} {shots} ".encode() + blob, digest_size=16).digest()
