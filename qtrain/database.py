"""Database: one SQLite file that is whole whenever the process dies, and refused where it is damaged or foreign."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, NoReturn

from qtrain.errors import RunError, StorageError

_BUSY = 30.0  # s to wait for another process that writes
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA)


class Database:
    """A file of a known kind. What a transaction wrote survives SIGKILL and a power cut once the transaction is over.

    The journal is a rollback journal, synchronous = EXTRA (FULL, and the directory is synced when the journal goes,
    which is what commits). So the file is one file, which other processes may read at any time and write in turn, and
    a file that was moved away under a writer is noticed. Any thread may call.

    Args:
        path: the file, made if it is not there; None: in memory.
        schema: SQL that makes an empty one.
        application, version: marks of the kind and of its layout, in the header of the file.
        way_out: what to do where it is damaged.
        writes: False only reads, while another process writes; the file must be there.
    Raises: RunError: the file is missing, damaged, or of another kind. StorageError, also from every method: the disk
        does not take or give what it should, or another process holds the file for 30 s.
    """

    def __init__(
        self, path: Path | None, *, schema: str, application: int, version: int, way_out: str, writes: bool = True
    ) -> None:
        self.path, self._way_out, self._lock = path, way_out, RLock()
        marked = f"BEGIN; {schema} PRAGMA application_id = {application}; PRAGMA user_version = {version}; COMMIT;"
        if path is None:
            self._db = self._connect(":memory:")
            self._db.executescript(marked)
            return
        if not path.exists():
            if not writes:
                raise RunError(f"{path} is missing. {way_out}")
            self._create(path, marked)
        # a process killed while it wrote leaves a journal, which only a connection that may write can roll back
        may_write = writes or os.access(path, os.W_OK)
        self._db = self._connect(f"{path.absolute().as_uri()}?mode={'rw' if may_write else 'ro'}")
        try:
            self._check(application, version, every_page=writes)
            if not writes:
                self.select("PRAGMA query_only = ON")
        except BaseException:
            self._db.close()
            raise

    @property
    def name(self) -> str:
        """For messages."""
        return "the database in memory" if self.path is None else str(self.path)

    def close(self) -> None:
        """Lets go of the file."""
        self._db.close()

    def select(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows."""
        with self._lock, self._translated():
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All that is written inside, or nothing; on disk at the end."""
        with self._lock, self._translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def refuse(self, why: str) -> NoReturn:
        """Raises RunError: damaged."""
        raise RunError(f"{self.name}: damaged ({why}). {self._way_out}")

    def _connect(self, uri: str) -> sqlite3.Connection:
        with self._translated():
            db = sqlite3.connect(uri, _BUSY, isolation_level=None, check_same_thread=False, uri=True)
            db.execute("PRAGMA synchronous = EXTRA")
            db.execute("PRAGMA foreign_keys = ON")
            return db

    def _create(self, path: Path, script: str) -> None:
        """Under another name, then renamed: an empty file under the right one is damage, not a beginning."""
        partial = path.with_name(f".{path.name}.partial")
        try:
            partial.unlink(missing_ok=True)
            db = self._connect(partial.absolute().as_uri())
            with self._translated():
                db.executescript(script)
            db.close()
            partial.replace(path)
            directory = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise StorageError(f"{path}: cannot be made ({error}). Choose another directory.") from None

    def _check(self, application: int, version: int, *, every_page: bool) -> None:
        if self.select("PRAGMA application_id") != [(application,)]:
            self.refuse("it is empty, or a file of another kind")
        ((found,),) = self.select("PRAGMA user_version")
        if found != version:
            raise RunError(f"{self.name}: format = {found}. This version reads {version}; use the one that wrote it.")
        if every_page:
            said = self.select("PRAGMA quick_check(1)")
            if said != [("ok",)]:
                self.refuse(str(said[0][0]))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code is not None and code & 0xFF in _DAMAGED:
                self.refuse(str(error))
            raise StorageError(
                f"{self.name}: cannot be read or written ({error}). What was written before is untouched; "
                "see to the disk, then resume."
            ) from None
