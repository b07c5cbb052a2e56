"""FileHash: SHA-256 of a recording's content, remembered while the file stays as it is."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sttbatch.core.errors import RecordingError
from sttbatch.database.database import Database
from sttbatch.database.session import Session

RACY_NS = 2_000_000_000
"""A file that changed this shortly before it was indexed may change again within the same tick of
its timestamps, so it is read again (git's racy-clean rule; FAT counts in steps of 2 s)."""

_PATHS_A_QUERY = 500


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A file's content hash and the state of the file in which it was read."""

    sha256: str
    size_bytes: int
    mtime_ns: int
    inode: int


class _Row(NamedTuple):
    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    indexed_at_ns: int
    sha256: str

    def still_true_of(self, stat: os.stat_result) -> bool:
        return (
            self.mtime_ns == stat.st_mtime_ns
            and self.ctime_ns == stat.st_ctime_ns
            and self.size_bytes == stat.st_size
            and self.inode == stat.st_ino
            and self.indexed_at_ns - max(self.mtime_ns, self.ctime_ns) > RACY_NS
        )


class FileIndex:
    """Content hashes by path, size, times and inode."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: dict[bytes, _Row] = {}

    async def load(self, paths: Sequence[Path]) -> None:
        """Fetch what is remembered of many files in few queries."""
        await self.load_names([os.fsencode(path) for path in paths])

    async def load_names(self, names: Sequence[bytes]) -> None:
        """The same for absolute paths as the ledger has them."""
        names = [name for name in names if name not in self._rows]
        for at in range(0, len(names), _PATHS_A_QUERY):
            part = names[at : at + _PATHS_A_QUERY]
            self._rows |= await self._database.read(partial(_select, names=part))

    def unchanged(self, name: bytes, status: os.stat_result) -> str | None:
        """The content hash of a file that was loaded and is as it was when it was hashed."""
        row = self._rows.get(name)
        return row.sha256 if row is not None and row.still_true_of(status) else None

    async def remembered(self, path: Path) -> str | None:
        """The content that `path` had when it was read last, whatever is there now."""
        name = os.fsencode(path)
        if name not in self._rows:
            await self.load([path])
        row = self._rows.get(name)
        return row.sha256 if row is not None else None

    async def fingerprint(self, path: Path) -> Fingerprint:
        """Hash `path`, unless it is as it was when it was hashed last.

        Raises:
            RecordingError: it cannot be read, or changes while it is.
        """
        name = os.fsencode(path)
        try:
            stat = await asyncio.to_thread(path.stat)
            row = self._rows.get(name)
            if row is None or not row.still_true_of(stat):
                row = await self._index(path, stat)
                self._rows[name] = row
        except OSError as error:
            raise RecordingError(f"it cannot be read: {error.strerror}") from error
        return Fingerprint(row.sha256, row.size_bytes, row.mtime_ns, row.inode)

    async def _index(self, path: Path, before: os.stat_result) -> _Row:
        now_ns = time.time_ns()
        sha256, stat = await asyncio.to_thread(_hash, path)
        if (before.st_size, before.st_mtime_ns) != (stat.st_size, stat.st_mtime_ns):
            raise RecordingError(
                "it changed while it was read; try again when nothing writes to it"
            )
        row = _Row(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, now_ns, sha256)
        values = (
            os.fsencode(path),
            row.size_bytes,
            row.mtime_ns,
            row.ctime_ns,
            row.inode,
            row.indexed_at_ns,
            row.sha256,
        )
        await self._database.write(
            lambda db: db.execute(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", values
            )
        )
        return row


UNREAD = "unread:"
"""No SHA-256 begins so."""


def unread_content(path: Path) -> str:
    """Stands for the content of a file that cannot be read: its place, hashed."""
    place = os.path.normpath(path.absolute())
    return UNREAD + hashlib.sha256(os.fsencode(place)).hexdigest()


def _hash(path: Path) -> tuple[str, os.stat_result]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, os.fstat(file.fileno())


def _select(db: Session, names: Sequence[bytes]) -> dict[bytes, _Row]:
    marks = ",".join("?" * len(names))
    rows = db.execute(
        f"""SELECT path, size_bytes, mtime_ns, ctime_ns, inode, indexed_at_ns, sha256
            FROM files WHERE path IN ({marks})""",  # noqa: S608 - question marks only
        names,
    )
    return {row[0]: _Row._make(row[1:]) for row in rows}
