"""Stores of the rate limit's state: memory, a disposable SQLite file, or PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from sttbatch.core.errors import StateError
from sttbatch.core.ports.rates import RateState
from sttbatch.core.threads import SerialThread
from sttbatch.database.database import Database
from sttbatch.database.migrations import History
from sttbatch.database.private_files import boot_id, private_file, private_folder
from sttbatch.database.store import Session

T = TypeVar("T")
Change = Callable[[RateState, float], T]

LOCK_TIMEOUT_S = 5.0
"""A transaction takes a tenth of a millisecond; a process that holds the file longer hangs."""

RETRY_AFTER_S = 30.0
"""Seconds until a file that cannot be used is tried again."""

# A rollback journal survives kill -9; after a power cut the rows of another boot do not matter.
_SET_UP = """
    PRAGMA journal_mode = TRUNCATE;
    PRAGMA synchronous = OFF;
    CREATE TABLE IF NOT EXISTS rates
        (bucket TEXT, boot TEXT, state BLOB, PRIMARY KEY (bucket, boot)) WITHOUT ROWID"""
SELECT = "SELECT state FROM rates WHERE bucket = ? AND boot = ?"
PUT = """INSERT INTO rates (bucket, boot, state) VALUES (?, ?, ?)
    ON CONFLICT (bucket, boot) DO UPDATE SET state = excluded.state"""
# Errors that a new file fixes: it is damaged, of another layout, or was deleted while in use.
_DAMAGE = {
    sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_READONLY,
}  # fmt: skip


class InMemoryRates:
    """A `RateStore` for one process; `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.state = RateState()

    async def change(self, change: Change[T]) -> T:
        return self.change_now(change)

    def change_now(self, change: Change[T]) -> T:
        return change(self.state, self.clock())

    async def aclose(self) -> None:
        """Do nothing."""


class SqliteRates(InMemoryRates):
    """A `RateStore` for all processes of one user on one machine.

    Its clock is monotonic, the same in all processes and starts again with each boot: hence a row
    for each boot. While the file cannot be used, the limit holds for this process alone.

    Args:
        path: the file, which is created and, if it is damaged, replaced.
        bucket: what the limit belongs to, such as the endpoint's origin.
        warn: called once per incident of a file that cannot be used.
    """

    def __init__(
        self,
        path: Path,
        bucket: str,
        warn: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(clock)
        self._path = path
        # Without boot ids, times of an earlier boot are dropped as impossibly far ahead.
        self._row = (bucket, boot_id())
        self._warn = warn
        self._unreported = ""
        self._retry_at: float | None = None
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        # An SQLite connection belongs to one thread.
        self._thread = SerialThread(f"sqlite {path.name}")

    async def change(self, change: Change[T]) -> T:
        """Apply `change` in the thread of the connection."""
        result = await self._thread.run(lambda: self.change_now(change))
        unreported, self._unreported = self._unreported, ""
        if unreported:
            self._warn(unreported)
        return result

    def change_now(self, change: Change[T]) -> T:
        """Apply `change` in the calling thread, which must always be the same."""
        if self._retry_at is not None and self.clock() < self._retry_at:
            return super().change_now(change)
        try:
            try:
                return self._transact(change)
            except (sqlite3.Error, UnicodeDecodeError) as error:
                # The low byte is the primary code.
                if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF not in _DAMAGE:
                    raise
                # Its contents matter for a minute only.
                self._replace()
                return self._transact(change)
        except (sqlite3.Error, OSError, StateError, UnicodeDecodeError) as error:
            self._disconnect()
            if self._retry_at is None:
                self._unreported = (
                    f"{self._path} cannot be used ({error}): the rate limit holds for this run "
                    "alone; start no other at the same time, or delete the file"
                )
            self._retry_at = self.clock() + RETRY_AFTER_S
            return super().change_now(change)

    async def aclose(self) -> None:
        await self._thread.run(self._disconnect)
        self._thread.close()

    def _transact(self, change: Change[T]) -> T:
        db = self._connected()
        try:
            db.execute("BEGIN IMMEDIATE")
            row = db.execute(SELECT, self._row).fetchone()
            before = row[0] if row else b""
            state = _decoded(before)
            if self._retry_at is not None:
                _add(state, self.state)
            # The clock is read after the wait for the lock.
            result = change(state, self.clock())
            after = msgspec.json.encode(state)
            if after != before:
                db.execute(PUT, (*self._row, after))
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.rollback()
            raise
        # If the file fails later, this process continues from here.
        self.state, self._retry_at = state, None
        return result

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None and _inode(self._path) == self._inode:
            return self._connection
        # The file does not exist yet, or was deleted, so that other processes use a new one.
        self._disconnect()
        private_folder(self._path.parent)
        self._connection = sqlite3.connect(
            private_file(self._path), timeout=LOCK_TIMEOUT_S, isolation_level=None
        )
        self._inode = _inode(self._path)
        self._connection.executescript(_SET_UP)
        return self._connection

    def _replace(self) -> None:
        """Delete the file unless another process has already done so."""
        self._disconnect()
        if _inode(self._path) == self._inode:
            for file in (self._path, self._path.with_name(f"{self._path.name}-journal")):
                file.unlink(missing_ok=True)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


RATES_HISTORY = History(
    "sttbatch.rates",
    "the rate limit",
    {
        "0001_rates": (
            "CREATE TABLE rate_limits (bucket TEXT PRIMARY KEY, state BLOB NOT NULL) STRICT",
        ),
        # The first step has called it `rates`.
        "0002_rate_limits": (
            """CREATE TABLE IF NOT EXISTS rate_limits
                (bucket TEXT PRIMARY KEY, state BLOB NOT NULL) STRICT""",
        ),
    },
)
SELECT_SHARED = "SELECT state, ledger_now() FROM rate_limits WHERE bucket = ?"
PUT_SHARED = """INSERT INTO rate_limits (bucket, state) VALUES (?, ?)
    ON CONFLICT (bucket) DO UPDATE SET state = excluded.state"""


class SharedRates:
    """A `RateStore` for all processes at one database, by its clock; `aclose` closes the database.

    `bucket` is what the limit belongs to, such as the endpoint's origin.
    """

    def __init__(self, database: Database, bucket: str) -> None:
        self._database = database
        self._bucket = bucket

    async def change(self, change: Change[T]) -> T:
        def write(session: Session) -> T:
            rows = session.execute(SELECT_SHARED, (self._bucket,)).fetchall()
            if not rows:
                rows = [(b"", session.execute("SELECT ledger_now()").fetchone()[0])]
            ((before, now),) = rows
            state = _decoded(before)
            result = change(state, now)
            after = msgspec.json.encode(state)
            if after != before:
                session.execute(PUT_SHARED, (self._bucket, after))
            return result

        return await self._database.write(write)

    async def aclose(self) -> None:
        await asyncio.to_thread(self._database.close)


def _decoded(text: bytes) -> RateState:
    try:
        return msgspec.json.decode(text, type=RateState)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError):
        return RateState()


def _add(state: RateState, given_out: RateState) -> None:
    """Add the slots that were given out without the file to its state."""
    state.next_at = max(state.next_at, given_out.next_at)
    state.audio_next_at = max(state.audio_next_at, given_out.audio_next_at)
    state.not_before = max(state.not_before, given_out.not_before)
    # `given_out` began as a copy, so both contain the earlier ones.
    state.sends = sorted({*state.sends, *given_out.sends})


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0
