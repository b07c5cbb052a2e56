from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

from sttbatch.core.cache_entries import matches_expression
from sttbatch.database.migrations import History
from sttbatch.database.private_files import check_private, locked, private_file
from sttbatch.database.store import Session, Values
from sttbatch.database.store_facts import Columns, Scan

T = TypeVar("T")
Synchronous: TypeAlias = Literal["FULL", "NORMAL"]
Clock: TypeAlias = Callable[[], float]


def journal_mode() -> str:
    """WAL since its checkpoint race is fixed (SQLite 3.51.3), a rollback journal before."""
    return "WAL" if sqlite3.sqlite_version_info >= (3, 51, 3) else "TRUNCATE"


def connect(
    path: Path, synchronous: Synchronous = "FULL", clock: Clock = time.time
) -> sqlite3.Connection:
    """Open `path` with the pragmas and functions of every store, in autocommit mode.

    Raises StateError if it, or its journal, is not a private file of this user.
    """
    for suffix in ("-journal", "-wal", "-shm"):
        # SQLite writes what it finds there into the file. To open and close them here would drop
        # the locks that another connection of this process has on them.
        beside = path.with_name(path.name + suffix)
        with contextlib.suppress(FileNotFoundError):
            check_private(beside, beside.lstat())
    connection = sqlite3.connect(private_file(path), timeout=30.0, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode = {journal_mode()}")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.create_function("ledger_now", 0, clock)
    connection.create_function("local_day", 1, local_day)
    connection.create_function("matches", 2, matches_expression)
    return connection


def local_day(at: float | None) -> str | None:
    """The local calendar day of a time in seconds since the epoch, as YYYY-MM-DD."""
    return None if at is None else time.strftime("%Y-%m-%d", time.localtime(at))


class SqliteFile:
    """A `Store` in one SQLite file, with a connection of the thread that called `open`.

    Args:
        history: the migrations of the file.
        synchronous: NORMAL may lose the latest commits in a power failure.
        clock: seconds since the epoch; `ledger_now()` in statements.
    """

    # Python raises the second when an error message of SQLite is not valid UTF-8, as after damage.
    faults = (sqlite3.Error, UnicodeDecodeError)
    advice = "Is the disk full, or the file damaged? `sttbatch doctor` tells more"

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

    def reason(self, fault: Exception) -> str:
        return str(fault)

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
        # secure_delete leaves copies of rows that were moved between pages.
        for statement in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
            self._connection.execute(statement).fetchall()

    def size_bytes(self) -> int:
        files = self._path.parent.glob(f"{self._path.name}*")
        return sum(file.stat().st_size for file in files)

    def connections(self) -> Mapping[str, int]:
        return {}

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

    def columns(self, table: str) -> Columns:
        rows = self._connection.execute(
            "SELECT name, pk FROM pragma_table_info(?) ORDER BY cid", (table,)
        ).fetchall()
        key = sorted((place, name) for name, place in rows if place)
        return Columns(tuple(name for name, _ in rows), tuple(name for _, name in key))

    def after_copy(self, session: Session) -> None:
        """Do nothing: SQLite numbers a row after the highest one."""

    def scans(self, statement: str, values: Values = ()) -> list[Scan]:
        rows = self._connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
        steps = [step for *_, step in rows]
        no_tables = {"CONSTANT", *(step.split()[-1] for step in steps if _SUBQUERY.match(step))}
        found = (match for step in steps if (match := _STEP.match(step)))
        return [_scan(match) for match in found if match["table"] not in no_tables]

    def objects(self) -> set[str]:
        rows = self._connection.execute("SELECT name FROM sqlite_master").fetchall()
        return {name for (name,) in rows}

    def define(self, statement: str) -> None:
        self._connection.execute(statement)

    def analyze(self) -> None:
        self._connection.execute("ANALYZE")


_STEP = re.compile(
    r"(?P<kind>SEARCH|SCAN) (?P<table>\w+)"
    r"( USING (?P<covering>COVERING )?(INDEX (?P<index>\w+)|(INTEGER )?PRIMARY KEY))?"
)
_SUBQUERY = re.compile("CO-ROUTINE|MATERIALIZE")


def _scan(step: re.Match[str]) -> Scan:
    table, index = step["table"], step["index"]
    if "USING" in step[0] and (index is None or index.startswith("sqlite_autoindex")):
        index = f"{table}_pkey"
    is_whole = step["kind"] == "SCAN" or index is None
    return Scan(table, index, is_whole, step["covering"] is not None)
