"""Content hashes of files: the table `files`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sttbatch.core.file_records import FileRecord
from sttbatch.database.database import Database

RECORDS = """
    SELECT path, size_bytes, mtime_ns, ctime_ns, inode, indexed_at_ns, sha256
    FROM files WHERE path IN (?*)"""
REMEMBER = """
    INSERT INTO files (path, size_bytes, mtime_ns, ctime_ns, inode, indexed_at_ns, sha256)
    VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (path) DO UPDATE SET
        size_bytes = excluded.size_bytes, mtime_ns = excluded.mtime_ns,
        ctime_ns = excluded.ctime_ns, inode = excluded.inode,
        indexed_at_ns = excluded.indexed_at_ns, sha256 = excluded.sha256"""
PATHS = "SELECT path FROM files WHERE sha256 IN (?*)"
JOBS = "SELECT 1 FROM processing_jobs WHERE file_sha256 IN (?*) LIMIT 1"


class SqlFileIndex:
    """A `FileIndex` in the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def records(self, paths: Sequence[bytes]) -> dict[bytes, FileRecord]:
        rows = await self._database.batched_rows(RECORDS, paths)
        return {row[0]: FileRecord._make(row[1:]) for row in rows}

    async def remember(self, records: Mapping[bytes, FileRecord]) -> None:
        rows = [(path, *record) for path, record in records.items()]
        await self._database.write(lambda session: session.executemany(REMEMBER, rows))

    async def paths_of(self, file_sha256s: Sequence[str]) -> list[bytes]:
        return [path for (path,) in await self._database.batched_rows(PATHS, file_sha256s)]

    async def was_unreadable(self, contents: Sequence[str]) -> bool:
        return bool(await self._database.batched_rows(JOBS, contents))
