"""MultiLevelCache: the nearest level answers; the authority is written first and decides."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import attrgetter

from sttbatch.core.cache_entries import (
    AccessCount,
    CacheLevel,
    CacheValue,
    FrontLevel,
)
from sttbatch.core.errors import StateError
from sttbatch.core.ports import ResultStore

FLUSH_AT = 5000
"""Reads are counted in memory and written this many at a time."""

REWRITE_LIMIT_BYTES = 16 * 1024 * 1024
"""SQLite writes a whole row to change its counter; a flush that would write more than this leaves
out the largest."""

RETRY_AFTER_S = 30.0
"""A front level that failed is left out for so long."""

_WARMED_AT_A_TIME = 32


@dataclass(frozen=True, slots=True)
class CacheHitResult:
    """A value and the name of the level that had it."""

    level: str
    value: bytes


class MultiLevelCache:
    """Levels from near to far. A front that fails is left out for 30 s, then tried again.

    Args:
        fronts: L1, L2: conveniences that may lose anything at any time.
        authority: L3: what it does not hold is not there, whatever a front may say later.
        warn: called once per incident, which ends when the front takes a value again.
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
        """Look `key` up, and put what a far level held into the nearer ones.

        `file_sha256`: the recording that it is needed for, which uses the entry from now on.

        Raises:
            StateError: the authority cannot be read.
        """
        for distance, front in enumerate(self._fronts):
            value = await self._value_in(front, key)
            if value is not None:
                return await self._hit(key, value, distance, front.name, file_sha256)
        value = (await self.authority.get_many((key,))).get(key)
        if value is None:
            return None
        return await self._hit(key, value, len(self._fronts), self.authority.name, file_sha256)

    async def put(self, key: str, data: bytes, model: str, file_sha256: str) -> None:
        """Store a value, the authority first.

        Raises:
            StateError: the authority did not take it.
        """
        await self.authority.put(key, CacheValue(data), model, file_sha256)
        await self.fill_fronts(key, data)

    async def fill_fronts(self, key: str, data: bytes) -> None:
        """Copy what the authority has just stored into every front."""
        await self._fill(self._fronts, {key: CacheValue(data)})

    async def warm(self, keys: Sequence[str], limit_bytes: float = math.inf) -> tuple[int, int]:
        """Copy entries from the authority into every front; returns how many, and their bytes.

        It stops at `limit_bytes`: more would drive out what it has just loaded.
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
        """Write how often entries were read; a process that dies before loses some, harmlessly."""
        accesses = sorted(self._accesses.values(), key=attrgetter("size_bytes"))
        links = list(self._links)
        self._accesses, self._links = {}, {}
        sizes_bytes = accumulate(access.size_bytes for access in accesses)
        written = accesses[: sum(each <= REWRITE_LIMIT_BYTES for each in sizes_bytes)]
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

    async def _value_in(self, front: FrontLevel, key: str) -> CacheValue | None:
        if self._is_left_out(front):
            return None
        try:
            return (await front.get_many((key,))).get(key)
        except StateError as error:
            self._leave_out(front, error)
            return None

    async def _fill(self, fronts: Sequence[FrontLevel], values: Mapping[str, CacheValue]) -> None:
        for front in reversed(fronts):
            if not values or self._is_left_out(front):
                continue
            try:
                await front.put_many(values)
            except StateError as error:
                self._leave_out(front, error)
            else:
                # Several fill it at the same time: a failure after our start stands.
                if not self._is_left_out(front):
                    self._retry_at.pop(front.name, None)

    def _is_left_out(self, front: FrontLevel) -> bool:
        return self._clock() < self._retry_at.get(front.name, 0.0)

    def _leave_out(self, front: FrontLevel, error: StateError) -> None:
        is_known = front.name in self._retry_at
        self._retry_at[front.name] = self._clock() + RETRY_AFTER_S
        if self._warn is not None and not is_known:
            self._warn(
                f"the {front.name} cache is left out for {RETRY_AFTER_S:.0f} s at a time, "
                f"nothing is lost: {error}. "
                "If that persists, `sttbatch cache verify --repair` recreates it"
            )
