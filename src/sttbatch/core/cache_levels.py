"""What a cache level can do: a new one fills `FrontLevel`, and `VerifiableLevel` if it has files.

The level behind all others is the authority, `ResultStore` in core/ports.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from sttbatch.core.cache_entries import CacheValue, CheckedEntry, LevelUsage


class CacheLevel(Protocol):
    """One level. Whatever goes wrong in it is raised as `StateError`.

    A value that is expired or damaged is not there; verification is what names such damage.
    """

    @property
    def name(self) -> str: ...
    async def get_many(self, keys: Sequence[str]) -> dict[str, CacheValue]: ...

    async def delete(self, keys: Sequence[str]) -> int:
        """Remove them and return how many were there."""

    async def delete_matching(self, pattern: str) -> int:
        """Remove every key that `key_patterns.matches`."""

    async def delete_expired(self) -> int: ...
    async def clear(self) -> int: ...

    async def scrub(self) -> None:
        """Leave no byte of what was deleted in the level's files."""

    async def usage(self) -> LevelUsage: ...
    async def aclose(self) -> None: ...


class FrontLevel(CacheLevel, Protocol):
    """A convenience before the authority: it may lose anything at any time."""

    async def put_many(self, values: Mapping[str, CacheValue]) -> None: ...


class VerifiableLevel(CacheLevel, Protocol):
    """A level whose values lie on a disk, where bits can flip."""

    def check(self) -> AsyncIterator[CheckedEntry]:
        """Hash every value again, a few in memory at a time."""

    async def integrity(self) -> tuple[str, ...]:
        """What is damaged in the level's files; empty when they are sound."""

    async def drop(self, rows: Sequence[int]) -> None:
        """Remove entries by the `row` of their `CheckedEntry`."""

    async def rebuild(self) -> None:
        """Repair what `integrity` names, as far as that loses no sound value."""
