"""Fingerprinter: SHA-256 of recordings, which are not read again while they are unchanged."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from sttbatch.core.errors import RecordingError, Stopped
from sttbatch.core.file_records import FileRecord
from sttbatch.core.locations import FileStatus, Location, ObjectUrl
from sttbatch.core.ports import FileIndex

RACY_NS = 2_000_000_000
"""A file that changed so shortly before it was indexed is read again, since its timestamps may not
show another change (git's racy-clean rule; FAT has steps of 2 s)."""

_BLOCK_BYTES = 1 << 20
_LEAST_BYTES = 1 << 16
_IN_A_THREAD = 8


class Fingerprinter:
    """Computes content hashes, and remembers them by path, size, times and inode."""

    def __init__(self, index: FileIndex) -> None:
        self._index = index
        self._records: dict[bytes, FileRecord] = {}

    async def load(self, paths: Iterable[Location | bytes]) -> None:
        """Load the records of many files, by absolute paths, with few queries."""
        names = [name for path in paths if (name := os.fsencode(path)) not in self._records]
        self._records |= await self._index.records(names)

    def knows(self, name: bytes) -> bool:
        """Whether the record of a file is loaded, which may have changed since."""
        return name in self._records

    def unchanged(self, name: bytes, status: FileStatus) -> str | None:
        """The content hash of a file whose record is loaded and which has not changed since."""
        record = self.record(name, status)
        return record.sha256 if record is not None else None

    def record(self, name: bytes, status: FileStatus) -> FileRecord | None:
        """The loaded record of a file which has not changed since."""
        record = self._records.get(name)
        return record if record is not None and _still_true(record, status) else None

    async def remember_object(self, url: ObjectUrl, status: FileStatus, sha256: str) -> FileRecord:
        """Record an object that was fetched. Its ETag shows every change, so it is never racy."""
        known_at_ns = max(time.time_ns(), status.st_mtime_ns + RACY_NS + 1)
        record = self._records[os.fsencode(url)] = FileRecord(
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
            status.st_ino,
            known_at_ns,
            sha256,
        )
        await self._index.remember({os.fsencode(url): record})
        return record

    async def remembered(self, path: Location) -> str | None:
        """The content hash that `path` had when it was last read."""
        await self.load([path])
        record = self._records.get(os.fsencode(path))
        return record.sha256 if record is not None else None

    async def fingerprint(
        self, path: Path, stopping: Callable[[], bool] = lambda: False
    ) -> FileRecord:
        """Hash `path` unless it is unchanged.

        Raises RecordingError if it cannot be read, is not a regular file or changes meanwhile, and
        Stopped if `stopping`, which is called for each MiB, becomes true.
        """
        name = os.fsencode(path)
        record = self._records.get(name)
        try:
            if record is not None and _still_true(record, await asyncio.to_thread(path.stat)):
                return record
            record = self._records[name] = await self._record(path, stopping)
        except OSError as error:
            raise RecordingError(f"it cannot be read: {error.strerror}") from error
        return record

    async def read_short(
        self, paths: Sequence[Path], stopping: Callable[[], bool]
    ) -> dict[Location, FileRecord]:
        """Hash short files together; those that cannot be read, or change meanwhile, are left out.

        A call of another thread and a commit for each would take longer than to read it.
        """
        now_ns = time.time_ns()
        parts = [paths[at : at + _IN_A_THREAD] for at in range(0, len(paths), _IN_A_THREAD)]
        read: dict[Path, tuple[str, os.stat_result, os.stat_result]] = {}
        # In several threads, as folders on a network answer slowly.
        for each in await asyncio.gather(
            *(asyncio.to_thread(_hash_all, part, stopping) for part in parts)
        ):
            read |= each
        records: dict[Location, FileRecord] = {
            path: _record_of(sha256, after, now_ns)
            for path, (sha256, before, after) in read.items()
            if _is_same(before, after)
        }
        if records:
            named = {os.fsencode(path): record for path, record in records.items()}
            self._records |= named
            await self._index.remember(named)
        return records

    async def _record(self, path: Path, stopping: Callable[[], bool]) -> FileRecord:
        now_ns = time.time_ns()
        sha256, before, after = await asyncio.to_thread(_hash, path, stopping)
        if not _is_same(before, after):
            raise RecordingError(
                "it changed while it was read; try again when nothing writes to it"
            )
        record = _record_of(sha256, after, now_ns)
        await self._index.remember({os.fsencode(path): record})
        return record


def _is_same(before: os.stat_result, after: os.stat_result) -> bool:
    return (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)


def _record_of(sha256: str, status: os.stat_result, indexed_at_ns: int) -> FileRecord:
    return FileRecord(
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        indexed_at_ns,
        sha256,
    )


def _still_true(record: FileRecord, status: FileStatus) -> bool:
    return (
        record.mtime_ns == status.st_mtime_ns
        and record.ctime_ns == status.st_ctime_ns
        and record.size_bytes == status.st_size
        and record.inode == status.st_ino
        and record.indexed_at_ns - max(record.mtime_ns, record.ctime_ns) > RACY_NS
    )


UNREAD = "unread:"
"""A prefix that no SHA-256 has."""


def unread_content(path: Location) -> str:
    """A stand-in for the content hash of a file that cannot be read: the hash of its path."""
    plain = str(path) if isinstance(path, ObjectUrl) else os.path.normpath(path.absolute())
    return UNREAD + hashlib.sha256(os.fsencode(plain)).hexdigest()


def _hash_all(
    paths: Sequence[Path], stopping: Callable[[], bool]
) -> dict[Path, tuple[str, os.stat_result, os.stat_result]]:
    read = {}
    for path in paths:
        if stopping():
            break
        with contextlib.suppress(OSError, RecordingError, Stopped):
            read[path] = _hash(path, stopping)
    return read


def _hash(path: Path, stopping: Callable[[], bool]) -> tuple[str, os.stat_result, os.stat_result]:
    """The SHA-256 of a file's content, and its status before and after it was read."""
    digest = hashlib.sha256()
    # O_NONBLOCK: opening a named pipe would wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor, not a path
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise RecordingError("it is not a regular file; save its content to one")
        # A file that is empty may be filled meanwhile.
        block = bytearray(min(_BLOCK_BYTES, max(before.st_size + 1, _LEAST_BYTES)))
        held = memoryview(block)
        while count := file.readinto(block):
            if stopping():
                raise Stopped("the run ended while it was read")
            digest.update(held[:count])
        return digest.hexdigest(), before, os.fstat(descriptor)
