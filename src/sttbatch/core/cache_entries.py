"""Entries of the result cache, and the protocols of its levels.

A new level implements `FrontLevel`, and `VerifiableLevel` if it outlives the process. The last
level is the authority, `ResultStore` in core/ports.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from sttbatch.core.models import ChunkSpan


class CacheValue(Struct, frozen=True):
    """Bytes, and the time in seconds since the epoch at which they expire; None: never."""

    data: bytes
    expires_at: float | None = None

    def is_expired(self, now: float) -> bool:
        return self.expires_at is not None and now >= self.expires_at

    def at_most(self, expires_at: float) -> CacheValue:
        """The same value, expiring at `expires_at` unless it does so earlier."""
        if self.expires_at is not None and self.expires_at <= expires_at:
            return self
        return CacheValue(self.data, expires_at)


class AccessCount(Struct, frozen=True):
    """How often an entry was read since the last count."""

    key: str
    reads: int
    size_bytes: int


class LevelUsage(Struct, frozen=True):
    """What a level holds; times are seconds since the epoch, None when it is empty.

    `disk_bytes` is the size of its files; None: it has none.
    """

    entries: int = 0
    size_bytes: int = 0
    oldest_at: float | None = None
    newest_at: float | None = None
    disk_bytes: int | None = None


class CheckedEntry(Struct, frozen=True):
    """A stored value whose hash was recomputed; `row` identifies it even if its key is damaged."""

    key: str
    row: int
    is_sound: bool


class IndexedResult(Struct, frozen=True):
    """A span of a recording and the stored value of its chunk; its index in a job is not known."""

    span: ChunkSpan
    chunk_key: str
    data: bytes


def checksum(key: str, data: bytes) -> bytes:
    """SHA-256 over key and value: a value under a wrong key is as invalid as a damaged one."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass") + b"\0" + data).digest()


class CacheLevel(Protocol):
    """One level of the cache. Every failure is raised as `StateError`.

    Expired and damaged values count as missing; only verification reports the damage.
    """

    @property
    def name(self) -> str: ...
    async def get_many(self, keys: Sequence[str]) -> dict[str, CacheValue]: ...

    async def delete(self, keys: Sequence[str]) -> int:
        """Remove entries; returns how many existed."""

    async def delete_matching(self, pattern: str) -> int:
        """Remove every entry whose key `matches` the pattern."""

    async def delete_expired(self) -> int: ...
    async def clear(self) -> int: ...

    async def scrub(self) -> None:
        """Erase what is left of deleted entries in the level's files."""

    async def usage(self) -> LevelUsage: ...
    async def aclose(self) -> None: ...


class FrontLevel(CacheLevel, Protocol):
    """A level before the authority, which may lose anything at any time."""

    @property
    def remedy(self) -> str:
        """What to do when it cannot be used, as the end of a sentence."""

    async def put_many(self, values: Mapping[str, CacheValue]) -> None: ...


class VerifiableLevel(CacheLevel, Protocol):
    """A level outside of this process, where bits can flip."""

    def check(self) -> AsyncIterator[CheckedEntry]:
        """Recompute the hash of every value, with a few values in memory at a time."""

    async def integrity(self) -> tuple[str, ...]:
        """Damage of the level's files; empty when they are sound."""

    async def drop(self, rows: Sequence[int]) -> None:
        """Remove entries by the `row` of their `CheckedEntry`."""

    async def rebuild(self) -> None:
        """Repair what `integrity` reports, as far as no sound value is lost."""


# A set (its negation, its members), or one character. A leading `]` is a member.
_TOKEN = re.compile(r"\[(\^?+)(\][^]]*|[^]]+)\]|.", re.DOTALL)
_MEMBER = re.compile(r"([^]])-(.)|.", re.DOTALL)
# Nothing follows the end of a text.
_NOTHING = "$a"


def matches(pattern: str, text: object) -> bool:
    """Whether `pattern` matches the whole of `text`, by the rules of SQLite's GLOB.

    `*` stands for any characters, `?` for one, `[a-z]` for one of a set and `[^a-z]` for one that
    is not in it; case counts. What is not text matches nothing.
    """
    return matches_expression(expression_of(pattern), text)


def matches_expression(expression: str, text: object) -> bool:
    """Whether an `expression_of` a pattern matches the whole of `text`."""
    return isinstance(text, str) and re.fullmatch(expression, text, re.DOTALL) is not None


@functools.lru_cache(maxsize=8)
def expression_of(pattern: str) -> str:
    """A pattern as a regular expression, which means the same to Python and to PostgreSQL."""
    # A `[` without its `]` matches nothing.
    special = {"*": ".*", "?": ".", "[": _NOTHING}
    return "".join(
        f"[{token[1]}{''.join(map(_members, _MEMBER.finditer(token[2])))}]"
        if token[2]
        else special.get(token[0], re.escape(token[0]))
        for token in _TOKEN.finditer(pattern)
    )


def _members(member: re.Match[str]) -> str:
    low, high = member[1] or member[0], member[2] or ""
    ranged = f"{re.escape(low)}-{re.escape(high)}" if low <= high else ""
    return re.escape(low) + ranged
