"""Stores of the rate limit's state: one row of a disposable SQLite file, or memory."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from sttbatch.core.errors import StateError
from sttbatch.core.ports.rates import RateState
from sttbatch.database.private_files import boot_id, private_file, private_folder

T = TypeVar("T")
Change = Callable[[RateState, float], T]

LOCK_TIMEOUT_S = 5.0
"""A transaction takes a tenth of a millisecond; a process that holds the file for so long hangs."""

RETRY_AFTER_S = 30.0
"""A file that cannot be used is left out for so long."""

# A rollback journal heals what kill -9 leaves; what a power cut leaves is of another boot.
_SET_UP = """
    PRAGMA journal_mode = TRUNCATE;
    PRAGMA synchronous = OFF;
    CREATE TABLE IF NOT EXISTS rates
        (bucket TEXT, boot TEXT, state BLOB, PRIMARY KEY (bucket, boot)) WITHOUT ROWID"""
SELECT = "SELECT state FROM rates WHERE bucket = ? AND boot = ?"
PUT = """INSERT INTO rates (bucket, boot, state) VALUES (?, ?, ?)
    ON CONFLICT (bucket, boot) DO UPDATE SET state = excluded.state"""
# A new file helps: it is damaged, of another layout, or deleted while in use.
_DAMAGE = {
    sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_READONLY,
}  # fmt: skip


class InMemoryRates:
    """A `RateStore` for one process; `clock` gives its time in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.state = RateState()

    async def change(self, change: Change[T]) -> T:
        return self.change_now(change)

    def change_now(self, change: Change[T]) -> T:
        return change(self.state, self.clock())

    async def aclose(self) -> None:
        """There is nothing to close."""


class SqliteRates(InMemoryRates):
    """A `RateStore` for all processes of one user on one machine.

    Its time is the monotonic clock, which all processes share and nobody can set, and which starts
    again with the machine: hence a row for each boot.

    Args:
        path: the file, which is created and, where it is damaged, replaced.
        bucket: what the limit belongs to, such as the endpoint's origin.
        warn: is called once per incident of a file that cannot be used, which ends when it can
            be. Until then this process keeps to its limit alone, and tries again every 30 s.
        clock: the same in all processes that share the file.
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
        # Elsewhere than on Linux, times of an earlier boot are dropped as impossibly far ahead.
        self._row = (bucket, boot_id())
        self._warn = warn
        self._unreported = ""
        self._retry_at: float | None = None
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        # SQLite's connections belong to one thread.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sqlite {path.name}")

    async def change(self, change: Change[T]) -> T:
        """Apply `change` off the loop's thread."""
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self._thread, self.change_now, change)
        unreported, self._unreported = self._unreported, ""
        if unreported:
            self._warn(unreported)
        return result

    def change_now(self, change: Change[T]) -> T:
        """Apply `change` in the calling thread, which must be the same each time."""
        if self._retry_at is not None and self.clock() < self._retry_at:
            return super().change_now(change)
        try:
            try:
                return self._transact(change)
            except (sqlite3.Error, UnicodeDecodeError) as error:
                # The low byte is the primary code.
                if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF not in _DAMAGE:
                    raise
                # It holds nothing that a minute does not heal.
                self._replace()
                return self._transact(change)
        except (sqlite3.Error, OSError, StateError, UnicodeDecodeError) as error:
            self._disconnect()
            if self._retry_at is None:
                self._unreported = (
                    f"{self._path} cannot be used ({error}): the rate limit holds for this run "
                    "alone, so let no other run at the same time, or delete the file"
                )
            self._retry_at = self.clock() + RETRY_AFTER_S
            return super().change_now(change)

    async def aclose(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown()

    def _transact(self, change: Change[T]) -> T:
        db = self._connected()
        try:
            db.execute("BEGIN IMMEDIATE")
            found = db.execute(SELECT, self._row).fetchone()
            before = found[0] if found else b""
            state = _decoded(before)
            if self._retry_at is not None:
                _add(state, self.state)
            # The clock is read once the row is locked: there may have been a wait for it.
            result = change(state, self.clock())
            after = msgspec.json.encode(state)
            if after != before:
                db.execute(PUT, (*self._row, after))
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.rollback()
            raise
        # Should the file fail, this process goes on from here.
        self.state, self._retry_at = state, None
        return result

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None and _inode(self._path) == self._inode:
            return self._connection
        # Not there yet, or deleted while it was open: other processes use the new one by now.
        self._disconnect()
        private_folder(self._path.parent)
        self._connection = sqlite3.connect(
            private_file(self._path), timeout=LOCK_TIMEOUT_S, isolation_level=None
        )
        self._inode = _inode(self._path)
        self._connection.executescript(_SET_UP)
        return self._connection

    def _replace(self) -> None:
        """Delete the file, unless another process has done so already."""
        self._disconnect()
        if _inode(self._path) == self._inode:
            for each in (self._path, self._path.with_name(f"{self._path.name}-journal")):
                each.unlink(missing_ok=True)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _decoded(text: bytes) -> RateState:
    try:
        return msgspec.json.decode(text, type=RateState)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError):
        return RateState()


def _add(state: RateState, given_out: RateState) -> None:
    """Add to the file's state what was given out without it."""
    state.next_at = max(state.next_at, given_out.next_at)
    state.audio_next_at = max(state.audio_next_at, given_out.audio_next_at)
    state.not_before = max(state.not_before, given_out.not_before)
    # It began as a copy, so that both hold what was sent before.
    state.sends = sorted({*state.sends, *given_out.sends})


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0
