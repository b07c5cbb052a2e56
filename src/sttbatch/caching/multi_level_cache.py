"""MultiLevelCache: reads from the nearest level, writes to the authority first."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from operator import attrgetter

from msgspec import Struct

from sttbatch.core.cache_entries import (
    AccessCount,
    CacheLevel,
    CacheValue,
    FrontLevel,
)
from sttbatch.core.errors import StateError
from sttbatch.core.ports import ResultStore

FLUSH_AT = 5000
"""Entries whose reads are counted in memory before the counts are written."""

REWRITE_LIMIT_BYTES = 16 * 1024 * 1024
"""SQLite rewrites a whole row to change its counter, so a flush skips the largest beyond this."""

RETRY_AFTER_S = 30.0
"""Seconds until a front level that failed is used again."""

_WARMED_AT_A_TIME = 32


class CacheHitResult(Struct, frozen=True):
    """A value and the name of the level that had it."""

    level: str
    value: bytes


class MultiLevelCache:
    """Levels from near to far. A front that fails is not used for 30 s, then tried again.

    Args:
        fronts: L1 and L2, which may lose anything at any time.
        authority: L3, which decides what is stored.
        warn: called once per incident, which ends when the front stores a value again.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        fronts: Sequence[FrontLevel],
        authority: ResultStore,
        *,
        warn: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.authority = authority
        self.levels: tuple[CacheLevel, ...] = (*fronts, authority)
        self._fronts = tuple(fronts)
        self._retry_at: dict[str, float] = {}
        self._warn = warn
        self._clock = clock
        self._accesses: dict[str, AccessCount] = {}
        self._links: dict[tuple[str, str], None] = {}

    async def get(self, key: str, file_sha256: str | None = None) -> CacheHitResult | None:
        """Look a key up, and copy its value into the nearer levels.

        `file_sha256` is the recording that needs it. Raises StateError if the authority cannot be
        read.
        """
        hit = await self.get_from_fronts(key, file_sha256)
        if hit is not None:
            return hit
        value = (await self.authority.get_many((key,))).get(key)
        if value is None:
            return None
        return await self._hit(key, value, len(self._fronts), self.authority.name, file_sha256)

    async def get_from_fronts(
        self, key: str, file_sha256: str | None = None
    ) -> CacheHitResult | None:
        """As `get`, without the authority."""
        for distance, front in enumerate(self._fronts):
            value = (await self._values_in(front, [key])).get(key)
            if value is not None:
                return await self._hit(key, value, distance, front.name, file_sha256)
        return None

    async def missing(self, keys: Sequence[str]) -> set[str]:
        """Those of many keys that no level has, with few queries; the others may be damaged."""
        missing = set(keys)
        for front in self._fronts:
            missing.difference_update(await self._values_in(front, list(missing)))
        return missing - await self.authority.present(list(missing))

    async def put(self, key: str, data: bytes, model: str, file_sha256: str) -> None:
        """Store a value, first in the authority, which raises StateError if it cannot."""
        await self.authority.put(key, CacheValue(data), model, file_sha256)
        await self.fill_fronts(key, data)

    async def fill_fronts(self, key: str, data: bytes) -> None:
        """Copy a value that the authority has stored into every front."""
        await self._fill(self._fronts, {key: CacheValue(data)})

    async def warm(self, keys: Sequence[str], limit_bytes: float = math.inf) -> tuple[int, int]:
        """Copy entries from the authority into every front; returns how many, and their bytes.

        It stops at `limit_bytes`: more would evict what it has just copied.
        """
        entries = size_bytes = 0
        for at in range(0, len(keys), _WARMED_AT_A_TIME):
            if size_bytes >= limit_bytes:
                break
            values = await self.authority.get_many(keys[at : at + _WARMED_AT_A_TIME])
            await self._fill(self._fronts, values)
            entries += len(values)
            size_bytes += sum(len(value.data) for value in values.values())
        return entries, size_bytes

    async def flush(self) -> None:
        """Write the counts of reads; a process that is killed before loses some, harmlessly."""
        accesses = sorted(self._accesses.values(), key=attrgetter("size_bytes"))
        links = list(self._links)
        self._accesses, self._links = {}, {}
        sizes_bytes = accumulate(access.size_bytes for access in accesses)
        written = accesses[: sum(size <= REWRITE_LIMIT_BYTES for size in sizes_bytes)]
        if written or links:
            with contextlib.suppress(StateError):
                await self.authority.count_reads(written, links)

    async def aclose(self) -> None:
        """Flush, and close the levels."""
        await self.flush()
        for level in self.levels:
            await level.aclose()

    async def _hit(
        self, key: str, value: CacheValue, distance: int, level: str, file_sha256: str | None
    ) -> CacheHitResult:
        await self._fill(self._fronts[:distance], {key: value})
        counted = self._accesses.get(key)
        reads = 1 if counted is None else counted.reads + 1
        self._accesses[key] = AccessCount(key, reads, len(value.data))
        if file_sha256 is not None:
            self._links[file_sha256, key] = None
        if len(self._accesses) >= FLUSH_AT:
            await self.flush()
        return CacheHitResult(level, value.data)

    async def _values_in(self, front: FrontLevel, keys: Sequence[str]) -> dict[str, CacheValue]:
        if self._is_suspended(front):
            return {}
        try:
            return await front.get_many(keys)
        except StateError as error:
            self._suspend(front, error)
            return {}

    async def _fill(self, fronts: Sequence[FrontLevel], values: Mapping[str, CacheValue]) -> None:
        for front in reversed(fronts):
            if not values or self._is_suspended(front):
                continue
            try:
                await front.put_many(values)
            except StateError as error:
                self._suspend(front, error)
            else:
                # A concurrent write may have failed since this one started.
                if not self._is_suspended(front):
                    self._retry_at.pop(front.name, None)

    def _is_suspended(self, front: FrontLevel) -> bool:
        return self._clock() < self._retry_at.get(front.name, 0.0)

    def _suspend(self, front: FrontLevel, error: StateError) -> None:
        is_reported = front.name in self._retry_at
        self._retry_at[front.name] = self._clock() + RETRY_AFTER_S
        if self._warn is not None and not is_reported:
            self._warn(
                f"the {front.name} cache cannot be used and is tried again every "
                f"{RETRY_AFTER_S:.0f} s; no result is lost: {error}. "
                f"If that persists, {front.remedy}"
            )
