"""CacheWarmer: loads entries into the near levels before they are looked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sttbatch.caching.multi_level_cache import MultiLevelCache

_ENTRIES_AT_A_TIME = 32


@dataclass(frozen=True, slots=True)
class Warmed:
    """What was loaded into the near levels."""

    entries: int
    size_bytes: int


class CacheWarmer:
    """From the ledger into L2 and L1, a few entries in memory at a time.

    Args:
        limit_bytes: it stops there; more would drive out what it has just loaded.
    """

    def __init__(self, cache: MultiLevelCache, limit_bytes: int) -> None:
        self._cache = cache
        self._limit_bytes = limit_bytes

    async def recordings(self, file_sha256s: Sequence[str]) -> Warmed:
        """Load what is stored of these recordings, whole transcripts first."""
        return await self._load(await self._cache.authority.keys_of(file_sha256s))

    async def most_used(self, limit: int) -> Warmed:
        """Load the entries that were read most often."""
        entries = await self._cache.authority.most_used(limit)
        return await self._load([key for key, _ in entries])

    async def _load(self, keys: Sequence[str]) -> Warmed:
        entries = size_bytes = 0
        for at in range(0, len(keys), _ENTRIES_AT_A_TIME):
            if size_bytes >= self._limit_bytes:
                break
            count, more_bytes = await self._cache.warm(keys[at : at + _ENTRIES_AT_A_TIME])
            entries += count
            size_bytes += more_bytes
        return Warmed(entries, size_bytes)
