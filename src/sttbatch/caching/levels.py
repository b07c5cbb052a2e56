"""What a cache level is: three are embedded; another store needs to fill these protocols only."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

KEYS_A_QUERY = 500


@dataclass(frozen=True, slots=True)
class CacheValue:
    """Bytes and when they stop being true, in seconds since 1970; None: never."""

    data: bytes
    expires_at: float | None = None

    def is_expired(self, now: float) -> bool:
        return self.expires_at is not None and now >= self.expires_at

    def at_most(self, expires_at: float) -> CacheValue:
        """The same value, true no longer than until `expires_at`."""
        if self.expires_at is not None and self.expires_at <= expires_at:
            return self
        return CacheValue(self.data, expires_at)


@dataclass(frozen=True, slots=True)
class EntryFacts:
    """What is known of an entry beside its value.

    Attributes:
        file_sha256: the recording it was made of.
    """

    engine: str
    model: str
    audio_s: float
    file_sha256: str


@dataclass(frozen=True, slots=True)
class Access:
    """How often an entry was read since this was written last, and when last."""

    key: str
    count: int
    at: float
    size_bytes: int


@dataclass(frozen=True, slots=True)
class LevelUsage:
    """What a level holds; ages are seconds since 1970, None when it is empty.

    Attributes:
        disk_bytes: what its file takes, None where there is none.
    """

    entries: int = 0
    size_bytes: int = 0
    oldest_at: float | None = None
    newest_at: float | None = None
    disk_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """One stored value, hashed again; `row` finds it even if its key is damaged."""

    key: str
    row: int
    is_sound: bool


class CacheLevel(Protocol):
    """One level. Whatever goes wrong in it is raised as `StateError`.

    A value that is expired or damaged is not there; `verify` is what tells such damage.
    """

    @property
    def name(self) -> str: ...

    async def get_many(self, keys: Sequence[str]) -> dict[str, CacheValue]: ...

    async def delete(self, keys: Sequence[str]) -> int:
        """Remove them and return how many were there."""

    async def delete_matching(self, pattern: str) -> int:
        """Remove every key that the shell pattern (`*`, `?`, `[a-z]`) matches, case counting."""

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

    def check(self) -> AsyncIterator[Checked]:
        """Hash every value again, a few in memory at a time."""

    async def integrity(self) -> tuple[str, ...]:
        """What SQLite finds wrong with the file; empty when it is sound."""

    async def drop(self, rows: Sequence[int]) -> None:
        """Remove damaged entries."""

    async def rebuild(self) -> None:
        """Mend what `integrity` found, as far as that goes without losing a sound value."""


class AuthorityLevel(VerifiableLevel, Protocol):
    """The level that is written first and is sufficient alone."""

    async def put(self, key: str, value: CacheValue, facts: EntryFacts) -> None:
        """Store one value; it is on the disk when this returns."""

    async def note(self, accesses: Sequence[Access], links: Sequence[tuple[str, str]]) -> None:
        """Count reads; remember (file_sha256, key): that recording has a part in that entry."""

    async def delete_model(self, model: str) -> tuple[str, ...]:
        """Remove a model's entries and return their keys."""

    async def keys_of(self, file_sha256s: Sequence[str]) -> tuple[str, ...]:
        """The entries that these recordings have a part in, transcripts first."""

    async def most_used(self, limit: int) -> tuple[tuple[str, int], ...]:
        """(key, reads), most read first."""


def seal(key: str, data: bytes) -> bytes:
    """SHA-256 over key and value: a value under a wrong key is as invalid as a damaged one."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass") + b"\0" + data).digest()
