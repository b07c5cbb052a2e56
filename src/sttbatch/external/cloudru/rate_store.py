"""What all processes of the user know of the rate limit: one row of a disposable SQLite file."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from sttbatch.core.errors import StateError
from sttbatch.database.private_files import private_file, private_folder
from sttbatch.external.cloudru.rate_limit import RateState

T = TypeVar("T")
Change = Callable[[RateState], T]

LOCK_TIMEOUT_S = 5.0
"""A transaction takes a tenth of a millisecond; whoever holds the file for so long hangs."""

_FAULTS = (sqlite3.Error, OSError, StateError, UnicodeDecodeError)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class RateStore:
    """One endpoint's `RateState`, changed by one process at a time.

    Times in it are those of the monotonic clock, which all processes share, which nobody can set,
    and which begins anew at each start of the machine: hence a row for each boot.

    Args:
        path: the file; None: in memory, for this process alone.
        bucket: whose limit it is, such as the endpoint's origin.
        warn: is told once when the file cannot be used; this process then keeps to its limit alone.
    """

    def __init__(
        self,
        path: Path | None = None,
        bucket: str = "",
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._path = path
        self._row = (bucket, _boot_id())
        self._warn = warn
        self._trouble: str | None = None
        self._warned = False
        self._state = RateState()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._thread: ThreadPoolExecutor | None = None

    async def change(self, change: Change[T]) -> T:
        """Apply `change`, which may be called twice, off the loop's thread."""
        if self._path is None:
            return change(self._state)
        if self._thread is None:
            # SQLite's connections belong to one thread.
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sqlite {self._path.name}")
        result = await asyncio.get_running_loop().run_in_executor(
            self._thread, self.change_now, change
        )
        if self._trouble is not None and not self._warned:
            self._warned = True
            self._warn(self._trouble)
        return result

    def change_now(self, change: Change[T]) -> T:
        """The same in the calling thread, which must be the same each time."""
        if self._path is None or self._trouble is not None:
            return change(self._state)
        try:
            try:
                return self._transact(self._path, change)
            except (sqlite3.Error, UnicodeDecodeError) as error:
                if not _is_damage(error):
                    raise
                # It holds nothing that a minute does not heal.
                self._replace(self._path)
                return self._transact(self._path, change)
        except _FAULTS as error:
            self._disconnect()
            self._trouble = (
                f"{self._path} cannot be used ({error}): the rate limit holds for this run alone, "
                "so let no other run at the same time, or delete the file"
            )
            return change(self._state)

    async def aclose(self) -> None:
        if self._thread is not None:
            thread, self._thread = self._thread, None
            await asyncio.get_running_loop().run_in_executor(thread, self._disconnect)
            thread.shutdown()

    def _transact(self, path: Path, change: Change[T]) -> T:
        db = self._connected(path)
        try:
            db.execute("BEGIN IMMEDIATE")
            found = db.execute(
                "SELECT state FROM rates WHERE bucket = ? AND boot = ?", self._row
            ).fetchone()
            before = found[0] if found else b""
            state = _decoded(before)
            result = change(state)
            after = msgspec.json.encode(state)
            if after != before:
                db.execute("INSERT OR REPLACE INTO rates VALUES (?, ?, ?)", (*self._row, after))
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.rollback()
            raise
        # Should the file fail us, we go on from here.
        self._state = state
        return result

    def _connected(self, path: Path) -> sqlite3.Connection:
        if self._connection is not None and _inode(path) == self._inode:
            return self._connection
        # Not there yet, or deleted while we had it open: others use the new one by now.
        self._disconnect()
        private_folder(path.parent)
        self._connection = sqlite3.connect(
            private_file(path), timeout=LOCK_TIMEOUT_S, isolation_level=None
        )
        self._inode = _inode(path)
        # A rollback journal heals what kill -9 leaves; what a power cut leaves is of another boot.
        self._connection.execute("PRAGMA journal_mode = TRUNCATE")
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.execute(
            """CREATE TABLE IF NOT EXISTS rates
               (bucket TEXT, boot TEXT, state BLOB, PRIMARY KEY (bucket, boot)) WITHOUT ROWID"""
        )
        return self._connection

    def _replace(self, path: Path) -> None:
        """Delete the file, unless another process has done so already."""
        self._disconnect()
        if _inode(path) == self._inode:
            for each in (path, path.with_name(f"{path.name}-journal")):
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


def _is_damage(error: Exception) -> bool:
    """Whether a new file would help: damaged, of another layout, or deleted under our hands."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    # The low byte is the primary code.
    return code & 0xFF in {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_READONLY,
    }


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def _boot_id() -> str:
    # Elsewhere than on Linux, times of an earlier boot are told by being impossibly far ahead.
    with contextlib.suppress(OSError):
        return _BOOT_ID.read_text("ascii").strip()
    return ""
