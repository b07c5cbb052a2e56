"""L2: diskcache, which may be deleted, damaged or full at any time.

Values are in its database, never in separate files: a killed process leaves no orphans, SQLite
notices truncated values, and no path in a row is ever opened or removed.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from sttbatch.caching.bytes_disk import LOCK_TIMEOUT_S, BytesDisk, DiskCache, open_cache
from sttbatch.caching.stored_values import MAX_TTL_S, decoded, encoded
from sttbatch.core.cache_entries import CacheValue, CheckedEntry, LevelUsage, matches
from sttbatch.core.errors import StateError
from sttbatch.core.threads import SerialThread
from sttbatch.database.private_files import private_file, private_folder

_T = TypeVar("_T")
_SHARE_OF_LIMIT = 8
"""Values larger than this fraction of the limit are not stored: they would evict all others."""
_ROWS_AT_A_TIME = 16
_LOCKED_PAUSE_S = 0.01
_USAGE = """
    SELECT COUNT(*), COALESCE(SUM(LENGTH(value)), 0), MIN(store_time), MAX(store_time) FROM Cache"""


class DiskLevel:
    """A cache folder, opened on demand; everything that uses it runs in one separate thread."""

    name = "L2"
    remedy = "`sttbatch cache verify --repair` recreates it"

    def __init__(
        self, folder: Path, limit_bytes: int, clock: Callable[[], float] = time.time
    ) -> None:
        self.folder = folder
        self._limit_bytes = limit_bytes
        self._clock = clock
        self._thread = SerialThread("l2")
        self._cache: DiskCache | None = None
        # What waits to be written together.
        self._unwritten: dict[str, CacheValue] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to open it, if it exists; errors are raised by its first use."""
        if self._file.exists():
            self._thread.run(self._try_to_open)

    async def get_many(self, keys: Sequence[str]) -> dict[str, CacheValue]:
        # Creating it is slow, so it is created by the first write.
        if self._cache is None and not self._file.exists():
            return {}
        values = await self._in_thread(lambda: self._get_all(keys))
        now = self._clock()
        return {key: value for key, value in values.items() if not value.is_expired(now)}

    async def put_many(self, values: Mapping[str, CacheValue]) -> None:
        now = self._clock()
        latest = now + MAX_TTL_S
        fitting = {
            key: value.at_most(latest)
            for key, value in values.items()
            if len(value.data) <= self._limit_bytes // _SHARE_OF_LIMIT and not value.is_expired(now)
        }
        if fitting:
            with self._lock:
                self._unwritten |= fitting
            # The first call of several writes what all of them have added.
            await self._in_thread(self._write)

    async def delete(self, keys: Sequence[str]) -> int:
        # diskcache's own delete ignores expired entries.
        statement = """
            DELETE FROM Cache WHERE key IN (SELECT value FROM json_each(?)) AND raw = 1"""
        return await self._if_exists(lambda: self._execute(statement, json.dumps(keys)))

    async def delete_matching(self, pattern: str) -> int:
        statement = "DELETE FROM Cache WHERE matches(?, CAST(key AS BLOB))"
        return await self._if_exists(lambda: self._execute(statement, pattern))

    async def delete_expired(self) -> int:
        return await self._if_exists(lambda: self._open().expire(self._clock()))

    async def clear(self) -> int:
        """Remove all entries; if it is too damaged for that, its files."""

        def work() -> int:
            try:
                return self._open().clear()
            except Exception:  # noqa: BLE001 - a damaged file makes diskcache raise anything
                self._remove_files()
                return 0

        return await self._if_exists(work)

    async def scrub(self) -> None:
        def work() -> int:
            self._execute("VACUUM")
            return self._execute("PRAGMA wal_checkpoint(TRUNCATE)")

        await self._if_exists(work)

    async def usage(self) -> LevelUsage:
        if not self._file.exists():
            return LevelUsage(disk_bytes=0)
        return await self._in_thread(self._usage)

    async def check(self) -> AsyncIterator[CheckedEntry]:
        last = -1
        while self._file.exists():
            rows = await self._in_thread(partial(self._checked_after, last))
            for row in rows:
                yield row
            if len(rows) < _ROWS_AT_A_TIME:
                return
            last = rows[-1].row

    async def integrity(self) -> tuple[str, ...]:
        if not self._file.exists():
            return ()

        def work() -> tuple[str, ...]:
            self._open()
            with self._connection() as db:
                rows = db.execute("PRAGMA integrity_check").fetchall()
            return tuple(str(text) for (text,) in rows if text != "ok")

        try:
            return await self._in_thread(work)
        except StateError as error:
            return (str(error),)

    async def drop(self, rows: Sequence[int]) -> None:
        statement = "DELETE FROM Cache WHERE rowid IN (SELECT value FROM json_each(?))"
        await self._if_exists(lambda: self._execute(statement, json.dumps(rows)))

    async def rebuild(self) -> None:
        """Remove its files, which the next write recreates; the ledger has all of its values."""
        await self._in_thread(self._remove_files)

    async def aclose(self) -> None:
        # `start` may still be opening it, so it is closed in the same thread.
        with contextlib.suppress(StateError):
            await self._in_thread(self._close)
        self._thread.close()

    @property
    def _file(self) -> Path:
        return self.folder / "cache.db"

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        def run() -> _T:
            try:
                return work()
            except BaseException:
                # The next use opens it again, as it may be repaired or recreated.
                with contextlib.suppress(Exception):
                    self._close()
                raise

        try:
            return await self._thread.run(run)
        except StateError:
            raise
        except Exception as error:
            # Damaged settings or rows make diskcache raise nearly any exception.
            reason = str(error) or type(error).__name__
            raise StateError(f"{self.folder}: {reason}") from error

    async def _if_exists(self, work: Callable[[], int]) -> int:
        """Run `work` if the file exists, so that none is created just to delete from it."""
        return await self._in_thread(work) if self._file.exists() else 0

    def _try_to_open(self) -> None:
        # A damaged file makes diskcache raise anything.
        with contextlib.suppress(Exception):
            self._open()

    def _open(self) -> DiskCache:
        if self._cache is None:
            private_file(private_folder(self.folder) / self._file.name)
            self._cache = self._opened()
        return self._cache

    def _opened(self) -> DiskCache:
        until = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                return open_cache(self.folder, self._limit_bytes)
            except sqlite3.OperationalError as error:
                # Some of what diskcache prepares fails at once beside others that write.
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(_LOCKED_PAUSE_S)

    def _close(self) -> None:
        if self._cache is not None:
            cache, self._cache = self._cache, None
            cache.close()

    def _get_all(self, keys: Sequence[str]) -> dict[str, CacheValue]:
        cache = self._open()
        values = {key: decoded(key, cache.get(key)) for key in keys}
        return {key: value for key, value in values.items() if value is not None}

    def _write(self) -> None:
        with self._lock:
            values, self._unwritten = self._unwritten, {}
        if not values:
            return
        cache, now = self._open(), self._clock()
        with cache.transact():
            for key, value in values.items():
                assert value.expires_at is not None
                cache.set(key, encoded(key, value), expire=value.expires_at - now)

    def _usage(self) -> LevelUsage:
        self._open()
        with self._connection() as db:
            entries, size_bytes, oldest, newest = db.execute(_USAGE).fetchone()
        disk_bytes = sum(path.stat().st_size for path in self.folder.glob("cache.db*"))
        return LevelUsage(entries, size_bytes, oldest, newest, disk_bytes)

    def _checked_after(self, last: int) -> list[CheckedEntry]:
        with self._connection() as db:
            rows = db.execute(
                """SELECT rowid, CAST(key AS BLOB), raw = 1 AND mode = ? AND filename IS NULL,
                          CASE typeof(value) WHEN 'blob' THEN value END
                   FROM Cache WHERE rowid > ? ORDER BY rowid LIMIT ?""",
                (BytesDisk.MODE, last, _ROWS_AT_A_TIME),
            ).fetchall()
        return [_checked(*row) for row in rows]

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection for statements that diskcache lacks; not kept, so that damage is not."""
        connection = sqlite3.connect(self._file, timeout=10.0, isolation_level=None)
        with contextlib.closing(connection):
            connection.execute("PRAGMA secure_delete = ON")
            connection.create_function("matches", 2, _matches)
            yield connection

    def _execute(self, statement: str, *values: str) -> int:
        self._open()
        with self._connection() as db:
            return int(db.execute(statement, values).rowcount)

    def _remove_files(self) -> None:
        self._close()
        for name in ("cache.db-journal", "cache.db-wal", "cache.db-shm", "cache.db"):
            (self.folder / name).unlink(missing_ok=True)


def _matches(pattern: str, key: bytes | None) -> bool:
    # The key of a damaged row may not be valid UTF-8, so it is passed as bytes.
    return matches(pattern, (key or b"").decode("utf-8", "replace"))


def _checked(row: int, key: bytes | None, is_ours: int | None, data: bytes | None) -> CheckedEntry:
    name = (key or b"").decode("utf-8", "backslashreplace")
    return CheckedEntry(name, row, bool(is_ours) and decoded(name, data) is not None)
