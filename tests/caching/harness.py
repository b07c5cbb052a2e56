"""All levels over real files, and a clock that stands until it is moved."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from sttbatch.caching.fingerprints import Fingerprinter
from sttbatch.caching.memory_level import MemoryLevel
from sttbatch.caching.multi_level_cache import MultiLevelCache
from sttbatch.caching.result_cache import StoredChunk, decoded
from sttbatch.composition.stores import work_ledger
from sttbatch.core.cache_entries import CacheValue
from sttbatch.core.engine import APIRequest
from sttbatch.core.options import MIB
from sttbatch.core.work import AUDIO_SECONDS, Granted, RequestRecord, Usage, WorkItem
from sttbatch.database.database import Database
from sttbatch.database.files import SqlFileIndex
from sttbatch.database.results import SqlResultStore
from sttbatch.database.work_ledger import SqlWorkLedger
from tests.database.backends import BACKENDS, Backend

from .second_levels import SECOND_KINDS, SecondKind, SecondLevel

SHA = "ab" * 32
ITEM = WorkItem("chunk:claimed", SHA, 0, "cloudru", "whisper", Usage(AUDIO_SECONDS, 1.0), 0.0)
METADATA = ("whisper", SHA)
"""Model and recording of an entry."""


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
    l2: SecondLevel
    ledger: SqlResultStore
    cache: MultiLevelCache
    files: SqlFileIndex
    fingerprinter: Fingerprinter
    clock: Clock
    warnings: list[str]
    work: SqlWorkLedger

    async def store(self, record: RequestRecord) -> None:
        """Store what was paid for, though nobody claimed it."""
        await self.work.store(Granted(ITEM, 0, ""), record)

    async def put_expiring(self, key: str, data: bytes, expires_at: float) -> None:
        """Store a value that is true until `expires_at` in every level."""
        await self.ledger.put(key, CacheValue(data, expires_at), *METADATA)
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
    second: SecondKind = SECOND_KINDS["disk"],
    max_age_s: float | None = None,
    backend: Backend = BACKENDS["sqlite"],
) -> AsyncIterator[Harness]:
    """Open the state in `folder`, as one run does."""
    clock = clock or Clock()
    warnings: list[str] = []
    with contextlib.closing(backend.open_ledger(folder, clock)) as database:
        memory = MemoryLevel(memory_bytes, clock)
        l2 = second.open(folder, clock, disk_bytes)
        ledger = SqlResultStore(database, max_age_s=max_age_s, warn=warnings.append)
        cache = MultiLevelCache((memory, l2), ledger, warn=warnings.append, clock=clock)
        try:
            files = SqlFileIndex(database)
            yield Harness(
                database,
                memory,
                l2,
                ledger,
                cache,
                files,
                Fingerprinter(files),
                clock,
                warnings,
                work_ledger(database, ledger),
            )
        finally:
            await cache.aclose()


def recorded(
    key: str,
    request: APIRequest,
    value: StoredChunk | None = None,
    *,
    sha256: str = SHA,
    model: str = "whisper",
    engine: str = "cloudru",
) -> RequestRecord:
    """A request of a kopeck a second, as the ledger books it."""
    usage = Usage(AUDIO_SECONDS, request.audio_s)
    item = WorkItem(key, sha256, 0, engine, model, usage, 0.01 * request.audio_s)
    return RequestRecord(item, request, None if value is None else msgspec.json.encode(value))


async def chunk(state: Harness, key: str) -> StoredChunk | None:
    """What a look-up brings."""
    hit = await state.cache.get(key, SHA)
    return decoded(hit.value, StoredChunk) if hit is not None else None


def key(number: int) -> str:
    return f"chunk:{number:064x}"
