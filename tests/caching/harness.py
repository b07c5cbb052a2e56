"""All levels over real files, and a clock that stands until it is moved."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from sttbatch.caching.disk_level import DiskLevel
from sttbatch.caching.fingerprints import Fingerprinter
from sttbatch.caching.memory_level import MemoryLevel
from sttbatch.caching.multi_level_cache import MultiLevelCache
from sttbatch.core.cache_entries import CacheValue, EntryMetadata
from sttbatch.core.options import MIB
from sttbatch.database.database import Database
from sttbatch.database.files import SqlFileIndex
from sttbatch.database.opening import open_ledger
from sttbatch.database.results import SqlResultStore

SHA = "ab" * 32
METADATA = EntryMetadata("cloudru", "whisper", 12.5, SHA)


@dataclass
class Clock:
    """Seconds since 1970, from now on."""

    now: float = field(default_factory=time.time)

    def __call__(self) -> float:
        return self.now


@dataclass
class Harness:
    database: Database
    memory: MemoryLevel
    disk: DiskLevel
    ledger: SqlResultStore
    cache: MultiLevelCache
    files: SqlFileIndex
    fingerprinter: Fingerprinter
    clock: Clock
    warnings: list[str]

    async def put_expiring(self, key: str, data: bytes, expires_at: float) -> None:
        """Store a value that is true until `expires_at` in every level."""
        await self.ledger.put(key, CacheValue(data, expires_at), METADATA)
        await self.cache.warm([key])

    async def level_of(self, key: str) -> str | None:
        found = await self.cache.get(key)
        return found.level if found is not None else None


@contextlib.asynccontextmanager
async def harness(
    folder: Path,
    *,
    clock: Clock | None = None,
    memory_bytes: int = MIB,
    disk_bytes: int = 64 * MIB,
    max_age_s: float | None = None,
) -> AsyncIterator[Harness]:
    """Open the state in `folder`, as one run does."""
    clock = clock or Clock()
    warnings: list[str] = []
    with contextlib.closing(open_ledger(folder, clock)) as database:
        memory = MemoryLevel(memory_bytes, clock)
        disk = DiskLevel(folder / "l2", disk_bytes, clock)
        ledger = SqlResultStore(database, max_age_s=max_age_s, warn=warnings.append)
        cache = MultiLevelCache((memory, disk), ledger, warn=warnings.append, clock=clock)
        try:
            files = SqlFileIndex(database)
            yield Harness(
                database,
                memory,
                disk,
                ledger,
                cache,
                files,
                Fingerprinter(files),
                clock,
                warnings,
            )
        finally:
            await cache.aclose()


def key(number: int) -> str:
    return f"chunk:{number:064x}"
