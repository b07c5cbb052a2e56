"""L1: entries in the memory of this process."""

from __future__ import annotations

import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from sttbatch.core.cache_entries import CacheValue, LevelUsage, matches

MAX_TTL_S = 300.0

OVERHEAD_BYTES = 512
"""Memory of an entry's key and objects: 370 by tracemalloc, rounded up."""


_PACKED_BYTES = range(16_384, 262_144)
"""Values of these sizes are compressed: the words of a chunk to a fifth, in a millisecond. Longer
ones are transcripts, which are compressed already."""

_FASTEST = 1


class _Entry(Struct, frozen=True):
    """A value, whose data is compressed if `is_packed`."""

    value: CacheValue
    stored_at: float
    is_packed: bool

    @classmethod
    def of(cls, value: CacheValue, now: float) -> _Entry:
        value = value.at_most(now + MAX_TTL_S)
        if len(value.data) in _PACKED_BYTES:
            packed = zlib.compress(value.data, _FASTEST)
            if len(packed) < len(value.data):
                return cls(CacheValue(packed, value.expires_at), now, True)
        return cls(value, now, False)

    def unpacked(self) -> CacheValue:
        if not self.is_packed:
            return self.value
        return CacheValue(zlib.decompress(self.value.data), self.value.expires_at)

    @property
    def size_bytes(self) -> int:
        return len(self.value.data) + OVERHEAD_BYTES


class MemoryLevel:
    """An LRU cache of at most `limit_bytes`, whose entries expire after five minutes."""

    name = "L1"
    remedy = "start again: each run has a new one"

    def __init__(self, limit_bytes: int, clock: Callable[[], float] = time.time) -> None:
        self._limit_bytes = limit_bytes
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._size_bytes = 0

    async def get_many(self, keys: Sequence[str]) -> dict[str, CacheValue]:
        now = self._clock()
        values = {}
        for key in keys:
            entry = self._entries.get(key)
            if entry is None:
                continue
            if entry.value.is_expired(now):
                self._remove(key)
                continue
            self._entries.move_to_end(key)
            values[key] = entry.unpacked()
        return values

    async def put_many(self, values: Mapping[str, CacheValue]) -> None:
        now = self._clock()
        for key, value in values.items():
            self._remove(key)
            entry = _Entry.of(value, now)
            if entry.size_bytes > self._limit_bytes or entry.value.is_expired(now):
                continue
            self._entries[key] = entry
            self._size_bytes += entry.size_bytes
            while self._size_bytes > self._limit_bytes:
                self._remove(next(iter(self._entries)))

    async def delete(self, keys: Sequence[str]) -> int:
        return sum(self._remove(key) for key in keys)

    async def delete_matching(self, pattern: str) -> int:
        return await self.delete([key for key in self._entries if matches(pattern, key)])

    async def delete_expired(self) -> int:
        now = self._clock()
        return await self.delete([k for k, e in self._entries.items() if e.value.is_expired(now)])

    async def clear(self) -> int:
        return await self.delete(list(self._entries))

    async def scrub(self) -> None:
        """Do nothing: it has no files."""

    async def usage(self) -> LevelUsage:
        ages = [entry.stored_at for entry in self._entries.values()]
        return LevelUsage(
            len(ages), self._size_bytes, min(ages, default=None), max(ages, default=None)
        )

    async def aclose(self) -> None:
        await self.clear()

    def _remove(self, key: str) -> bool:
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self._size_bytes -= entry.size_bytes
        return True
