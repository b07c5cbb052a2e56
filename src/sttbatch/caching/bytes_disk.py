"""diskcache without pickle: keys are str, values bytes, and anything else is refused.

By default diskcache uses pickle, and reading a pickle runs code (CVE-2025-69872, no fixed release).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, cast

import diskcache

from sttbatch.database.sqlite_file import journal_mode

LOCK_TIMEOUT_S = 10.0

# Of SQLite's `synchronous`.
_OFF, _NORMAL = 0, 1


class RefusedRow(OSError):
    """A row that this program cannot have written; to diskcache an `OSError` is a miss."""


class BytesDisk(diskcache.Disk):  # type: ignore[misc]  # ships no types
    """Stores keys and values in the database only, never in files."""

    MODE = diskcache.core.MODE_RAW

    def put(self, key: object) -> tuple[str, bool]:
        if not isinstance(key, str):
            raise TypeError(f"keys are str, not {type(key).__name__}")
        return key, True

    def get(self, key: object, raw: object) -> str:
        if not raw or not isinstance(key, str):
            raise RefusedRow("a key that is not text")
        return key

    def store(self, value: object, read: bool, key: object = None) -> tuple[int, int, None, bytes]:
        if read or not isinstance(value, bytes):
            raise TypeError(f"values are bytes, not {type(value).__name__}")
        return 0, self.MODE, None, value

    def fetch(self, mode: object, filename: object, value: object, read: bool) -> bytes:
        if mode != self.MODE or filename is not None or read or not isinstance(value, bytes):
            raise RefusedRow("a value that is not bytes inside the database")
        return value

    def remove(self, file_path: object) -> None:
        """Do nothing: a row that names a file is not ours, so the file must not be removed."""


class DiskCache(Protocol):
    """The part of `diskcache.Cache` that is used."""

    def get(self, key: str) -> object: ...
    def set(self, key: str, value: bytes, expire: float) -> bool: ...
    def expire(self, now: float) -> int: ...
    def clear(self) -> int: ...
    def transact(self) -> AbstractContextManager[None]: ...
    def close(self) -> None: ...


def open_cache(folder: Path, limit_bytes: int) -> DiskCache:
    """A cache in `folder` that evicts the oldest entries beyond `limit_bytes`.

    If its database is damaged, nearly any exception is raised.
    """
    cache = diskcache.Cache(
        str(folder),
        timeout=LOCK_TIMEOUT_S,
        disk=BytesDisk,
        size_limit=limit_bytes,
        cull_limit=10,
        statistics=0,
        tag_index=0,
        # Policies that count reads write with every read.
        eviction_policy="least-recently-stored",
        sqlite_journal_mode=journal_mode().lower(),
        # Opening writes each setting in a transaction of its own, and waits for none of them: the
        # same values as before, in a file that may be lost.
        sqlite_synchronous=_OFF,
        sqlite_auto_vacuum=1,
        sqlite_secure_delete=1,
        # If a mapped file is truncated, the process is killed by SIGBUS.
        sqlite_mmap_size=0,
        sqlite_cache_size=1024,
    )
    cache.reset("sqlite_synchronous", _NORMAL)
    return cast("DiskCache", cache)
