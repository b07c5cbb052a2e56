"""A store in one SQLite file."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

from sttbatch.core.cache_entries import matches
from sttbatch.database.database import Session
from sttbatch.database.migrations import History
from sttbatch.database.private_files import check_private, locked, private_file

T = TypeVar("T")
Synchronous: TypeAlias = Literal["FULL", "NORMAL"]
Clock: TypeAlias = Callable[[], float]


def journal_mode() -> str:
    """WAL where its checkpoint race is fixed (SQLite 3.51.3), a rollback journal before."""
    return "WAL" if sqlite3.sqlite_version_info >= (3, 51, 3) else "TRUNCATE"


def connect(
    path: Path, synchronous: Synchronous = "FULL", clock: Clock = time.time
) -> sqlite3.Connection:
    """Open `path` as every part of sttbatch does; transactions are begun explicitly."""
    for suffix in ("-journal", "-wal", "-shm"):
        # What SQLite finds there it writes into the file. Opened and closed here, it would lose the
        # locks that another connection of this process has on it.
        beside = path.with_name(path.name + suffix)
        with contextlib.suppress(FileNotFoundError):
            check_private(beside, beside.lstat())
    connection = sqlite3.connect(private_file(path), timeout=30.0, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode = {journal_mode()}")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.create_function("ledger_now", 0, clock)
    connection.create_function("local_day", 1, local_day)
    connection.create_function("matches", 2, matches)
    return connection


def local_day(at: float | None) -> str | None:
    """The local calendar day of a moment in seconds since the epoch, as YYYY-MM-DD."""
    return None if at is None else time.strftime("%Y-%m-%d", time.localtime(at))


class SqliteFile:
    """One file and one connection to it, both of the thread that called `open`.

    Args:
        history: brings the file to its newest shape.
        synchronous: NORMAL for what may be lost when the power fails.
        clock: seconds since the epoch; `ledger_now()` in statements.
    """

    # Where a damaged schema makes SQLite complain in bytes that are no text, Python raises the
    # second.
    faults = (sqlite3.Error, UnicodeDecodeError)

    def __init__(
        self,
        path: Path,
        history: History,
        synchronous: Synchronous = "FULL",
        clock: Clock = time.time,
    ) -> None:
        self.title = str(path)
        self._path = path
        self._history = history
        self._connect = partial(connect, path, synchronous, clock)
        self._connection: sqlite3.Connection

    def open(self) -> None:
        self._connection = self._connect()
        with locked(self._path.with_suffix(".lock")):
            self._history.apply(self._connection)

    def transact(self, work: Callable[[Session], T]) -> T:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return result

    def read(self, work: Callable[[Session], T]) -> T:
        return work(self._connection)

    def close(self) -> None:
        self._connection.close()

    def integrity(self, *, quick: bool = False) -> tuple[str, ...]:
        check = "PRAGMA quick_check(1)" if quick else "PRAGMA integrity_check"
        damage = [str(text) for (text,) in self._connection.execute(check) if text != "ok"]
        if not damage:
            orphans = self._connection.execute("PRAGMA foreign_key_check")
            damage = [f"a row of {table} belongs to nothing" for table, *_ in orphans]
        return tuple(damage)

    def rebuild_indexes(self) -> None:
        self._connection.execute("REINDEX")

    def erase_on_delete(self) -> None:
        self._connection.execute("PRAGMA secure_delete = ON").fetchall()

    def vacuum(self) -> None:
        # What rows left behind when they moved between pages is not reached by secure_delete.
        for statement in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
            self._connection.execute(statement).fetchall()

    def size_bytes(self) -> int:
        files = self._path.parent.glob(f"{self._path.name}*")
        return sum(file.stat().st_size for file in files)

    def describe(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}, journal {journal_mode()}"

    def entries_after(
        self, number: int, limit: int
    ) -> list[tuple[int, bytes | None, bytes | None, object]]:
        return self._connection.execute(
            """SELECT rowid, CAST(key AS BLOB), CASE typeof(value) WHEN 'blob' THEN value END,
                      sha256
               FROM cache_entries WHERE rowid > ? ORDER BY rowid LIMIT ?""",
            (number, limit),
        ).fetchall()

    def drop_entries(self, numbers: Sequence[int]) -> None:
        rows = [(number,) for number in numbers]
        self.transact(
            lambda session: session.executemany("DELETE FROM cache_entries WHERE rowid = ?", rows)
        )
