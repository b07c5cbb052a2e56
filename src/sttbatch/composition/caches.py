"""The cache as every command has it: its levels, from the settings."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from sttbatch.caching.disk_level import DiskLevel
from sttbatch.caching.memory_level import MemoryLevel
from sttbatch.caching.multi_level_cache import MultiLevelCache
from sttbatch.composition.settings import Settings
from sttbatch.core.options import MIB
from sttbatch.database.database import Database
from sttbatch.database.results import SqlResultStore


@dataclass(frozen=True, slots=True)
class Caches:
    """All levels together, and those that commands speak to."""

    levels: MultiLevelCache
    disk: DiskLevel
    ledger: SqlResultStore


def cache_folder(settings: Settings) -> Path:
    """Not made here: only what is stored needs it."""
    if settings.cache_dir:
        return Path(settings.cache_dir).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("sttbatch")


@contextlib.asynccontextmanager
async def open_caches(
    settings: Settings, database: Database, warn: Callable[[str], None]
) -> AsyncIterator[Caches]:
    """L1, L2 and L3; `warn` is told once per incident of what fails."""
    memory = MemoryLevel(int(settings.l1_max_mb * MIB))
    disk = DiskLevel(cache_folder(settings) / "l2", int(settings.l2_max_mb * MIB))
    ledger = SqlResultStore(database, max_age_s=settings.cache_max_age, warn=warn)
    levels = MultiLevelCache((memory, disk), ledger, warn=warn)
    try:
        yield Caches(levels, disk, ledger)
    finally:
        await levels.aclose()
