"""MultiLevelCache: the nearest level answers; the authority is written first and decides."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sttbatch.caching.levels import (
    KEYS_A_QUERY,
    Access,
    AuthorityLevel,
    CacheLevel,
    CacheValue,
    EntryFacts,
    FrontLevel,
)
from sttbatch.core.errors import StateError

FLUSH_AT = 5000
"""Reads are counted in memory and written this many at a time."""

REWRITE_LIMIT_BYTES = 16 * 1024 * 1024
"""SQLite writes a whole row to change its counter; a flush that would write more than this leaves
out the largest."""


@dataclass(frozen=True, slots=True)
class CacheHitResult:
    """What a look-up found; `level` says which level answered."""

    level: str
    value: bytes


class MultiLevelCache:
    """Levels from near to far. A broken front is left out for the rest of the run, warned of once.

    Args:
        fronts: L1, L2: conveniences that may lose anything at any time.
        authority: L3: what it does not hold is not there, whatever a front may say later.
        warn: told in words what broke.
    """

    def __init__(
        self,
        fronts: Sequence[FrontLevel],
        authority: AuthorityLevel,
        *,
        warn: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.authority = authority
        self.levels: tuple[CacheLevel, ...] = (*fronts, authority)
        self._fronts: list[FrontLevel] = list(fronts)
        self._warn = warn
        self._clock = clock
        self._accesses: dict[str, Access] = {}
        self._links: dict[tuple[str, str], None] = {}

    async def get(self, key: str, file_sha256: str | None = None) -> CacheHitResult | None:
        """Look `key` up, and put what a far level held into the nearer ones.

        `file_sha256`: the recording that it is needed for, which has a part in it from now on.

        Raises:
            StateError: the authority cannot be read.
        """
        fronts = self._fronts.copy()
        for distance, level in enumerate((*fronts, self.authority)):
            found = await self._asked(level, (key,))
            if key in found:
                for nearer in reversed(fronts[:distance]):
                    await self._filled(nearer, found)
                await self._count(found, file_sha256)
                return CacheHitResult(level.name, found[key].data)
        return None

    async def get_many(self, keys: Sequence[str]) -> dict[str, CacheHitResult]:
        """Those of `keys` that are there, by few queries; all their values are in memory at once.

        Only the nearest level and the authority are asked, and only the nearest is filled: one by
        one in a level between them would take longer than the authority's one query for hundreds.

        Raises:
            StateError: the authority cannot be read.
        """
        results: dict[str, CacheHitResult] = {}
        for at in range(0, len(keys), KEYS_A_QUERY):
            left = keys[at : at + KEYS_A_QUERY]
            for level in (*self._fronts[:1], self.authority):
                found = await self._asked(level, left)
                results |= {k: CacheHitResult(level.name, v.data) for k, v in found.items()}
                left = [key for key in left if key not in found]
                for nearest in self._fronts[:1] if level is self.authority else ():
                    await self._filled(nearest, found)
                await self._count(found)
        return results

    async def put(self, key: str, data: bytes, facts: EntryFacts) -> None:
        """Store a value, the authority first.

        Raises:
            StateError: the authority did not take it.
        """
        await self.authority.put(key, CacheValue(data), facts)
        await self.fill_fronts(key, data)

    async def fill_fronts(self, key: str, data: bytes) -> None:
        """Copy what the authority has just stored into the nearer levels."""
        for front in reversed(self._fronts.copy()):
            await self._filled(front, {key: CacheValue(data)})

    async def fill(self, keys: Sequence[str]) -> tuple[int, int]:
        """Copy entries from the authority into every front; returns how many, and their bytes."""
        found = await self.authority.get_many(keys)
        for front in reversed(self._fronts.copy()):
            await self._filled(front, found)
        return len(found), sum(len(value.data) for value in found.values())

    async def flush(self) -> None:
        """Write what is known of reads; whoever dies before loses some, which does no harm."""
        accesses, links = sorted(self._accesses.values(), key=_size), list(self._links)
        self._accesses, self._links = {}, {}
        left_bytes = REWRITE_LIMIT_BYTES
        kept = []
        for access in accesses:
            left_bytes -= access.size_bytes
            if left_bytes < 0:
                break
            kept.append(access)
        if kept or links:
            with contextlib.suppress(StateError):
                await self.authority.note(kept, links)

    async def aclose(self) -> None:
        """Flush, and close the levels."""
        await self.flush()
        for level in self.levels:
            await level.aclose()

    async def _asked(self, level: CacheLevel, keys: Sequence[str]) -> dict[str, CacheValue]:
        try:
            return await level.get_many(keys)
        except StateError as error:
            if level is self.authority:
                raise
            self._leave_out(level, error)
            return {}

    async def _filled(self, level: FrontLevel, values: Mapping[str, CacheValue]) -> None:
        # Lanes ask at the same time: another may have found it broken meanwhile.
        if level not in self._fronts or not values:
            return
        try:
            await level.put_many(values)
        except StateError as error:
            self._leave_out(level, error)

    def _leave_out(self, level: CacheLevel, error: StateError) -> None:
        kept = [each for each in self._fronts if each is not level]
        if len(kept) == len(self._fronts):
            return
        self._fronts = kept
        if self._warn is not None:
            self._warn(
                f"the {level.name} cache is left out for this run, nothing is lost: {error}. "
                "If that stays so, `sttbatch cache verify --repair` begins it anew"
            )

    async def _count(self, found: Mapping[str, CacheValue], file_sha256: str | None = None) -> None:
        now = self._clock()
        for key, value in found.items():
            before = self._accesses.get(key)
            count = 1 if before is None else before.count + 1
            self._accesses[key] = Access(key, count, now, len(value.data))
            if file_sha256 is not None:
                self._links[file_sha256, key] = None
        if len(self._accesses) >= FLUSH_AT:
            await self.flush()


def _size(access: Access) -> int:
    return access.size_bytes
